"""One unit of datums: inputs in place, the command run, its output, log and secrets taken care of."""
