"""Care for a store: fsck, recovery."""
