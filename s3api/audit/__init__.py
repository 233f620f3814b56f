"""The audit log: one line of JSON for each request, written beside the serving."""
