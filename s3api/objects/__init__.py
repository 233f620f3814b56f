"""Buckets and objects: what repos, branches and rows are to S3."""
