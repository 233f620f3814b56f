"""The versions of objects: what the commits of a bucket did to each key."""
