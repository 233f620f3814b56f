"""Bodies of requests: unframed, digested, checked, stored."""
