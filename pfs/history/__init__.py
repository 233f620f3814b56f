"""Commits as refs leave them: records, ref expressions, lineage, and walks over the graph."""
