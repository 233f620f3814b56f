"""The gateway of one job: its inputs to read, its output to write, for the datums that run."""
