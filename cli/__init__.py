"""cli: the programs `pfs` and `pps`; the only layer that prints or reads the environment."""
