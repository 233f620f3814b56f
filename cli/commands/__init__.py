"""One file a noun: the commands of `pfs` and `pps`."""
