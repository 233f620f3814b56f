"""Changes of several repos that are published together (docs/design/transactions.md)."""
