"""HTTP: the server, requests and answers as values, and what their headers and XML look like."""
