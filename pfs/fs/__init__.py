"""The parts of the fsspec file system (pfs/fsspec.py)."""
