"""s3api: the S3 protocol over pfs; see docs/architecture.md."""
