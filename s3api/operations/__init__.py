"""One S3 operation a file, named with S3's own names."""
