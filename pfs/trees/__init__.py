"""The file index of a commit: pages, trees of pages, and what reads, edits, builds and compares them."""
