"""Files of a commit as one archive: tar, plain or compressed, and zip."""
