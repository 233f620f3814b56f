"""Branches computed from others: the graph, what its moves open, triggers and schedules (docs/design/provenance.md)."""
