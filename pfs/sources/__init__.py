"""Where the bytes of a put come from: local files and directories, archives, URLs."""
