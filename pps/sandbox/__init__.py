"""Processes in a world of their own: namespaces, the spawner, containers. Knows nothing of datums."""
