"""The algebra of inputs and datums: which there are, their ids and hashes, and which of them run. Pure."""
