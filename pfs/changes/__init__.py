"""What changes a repo, a verb a file: writing and publishing commits, branches, tags, merges."""
