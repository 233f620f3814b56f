"""Where datums run, behind one protocol; the protocol is `pps.executor`."""
