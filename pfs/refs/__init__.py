"""What changes: one object a repo, replaced by compare-and-swap."""
