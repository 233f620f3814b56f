"""Files to and from places: S3 and what speaks like it, folders, the web; knows nothing of jobs."""
