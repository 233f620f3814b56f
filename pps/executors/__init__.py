"""Where datums run, behind one protocol; see base.py."""
