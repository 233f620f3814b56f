"""A store as a read-only folder, through FUSE: ``DIR/<repo>/<branch, tag or commit>/<path>``."""
