"""A step that knows an S3 endpoint and nothing else: learns the mean of each digit's images, with minio-py."""

import io
import json
import os
from urllib.parse import urlsplit

from minio import Minio

endpoint = urlsplit(os.environ["S3_ENDPOINT"])
client = Minio(
    endpoint.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    secure=endpoint.scheme == "https",
    region="us-east-1",
)
bucket = os.environ["KF_PARAM_input_bucket"]  # noqa: SIM112 (its name is in the spec)
sums: dict[str, list[float]] = {}
for item in client.list_objects(bucket, recursive=True):
    answer = client.get_object(bucket, item.object_name)
    try:
        image = json.loads(answer.read())
    finally:
        answer.close()
        answer.release_conn()
    digit = item.object_name.split("/")[0]
    sums.setdefault(digit, []).append(sum(image) / len(image))
for digit, means in sums.items():
    body = json.dumps({"images": len(means), "mean": sum(means) / len(means)}).encode()
    client.put_object("out", f"model/{digit}.json", io.BytesIO(body), len(body), content_type="application/json")
