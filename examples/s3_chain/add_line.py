"""Add a line to each object of the bucket ``before``, with nothing but boto3: add_line.py LINE."""

import sys

import boto3

s3 = boto3.client("s3")
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="before"):
    for item in page.get("Contents", []):
        text = s3.get_object(Bucket="before", Key=item["Key"])["Body"].read()
        s3.put_object(Bucket="out", Key=item["Key"], Body=text + f"{sys.argv[1]}\n".encode())
