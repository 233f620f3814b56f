"""What is stored, by id: packs, the index of what is in them, reading by id, and sessions that write."""
