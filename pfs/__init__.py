"""pfs: a versioned, content-addressed file system; see docs/architecture.md."""

__version__ = "0.1.0"
