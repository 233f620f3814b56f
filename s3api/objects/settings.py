"""What is configured on a bucket, kept with its branch: tags and CORS rules. Changing them makes no commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pfs.changes.settings import SettingsEdit, edit_settings
from pfs.errors import PfsError
from s3api.errors import S3Error
from s3api.gateway import Context, Gateway
from s3api.http.request import Request
from s3api.http.response import Headers
from s3api.objects.buckets import Bucket
from s3api.objects.cors import Rules, decode_rules, find_headers
from s3api.objects.names import parse_bucket

TAGS: Final = "s3.tags"
CORS: Final = "s3.cors"


def set_setting(context: Context, name: str, text: str | None) -> None:
    """Set a setting of the request's bucket, or take it away; a branch master that is not there yet is made.

    Raises:
        S3Error: NoSuchBucket; AccessDenied, the bucket is a commit.
    """
    bucket = context.bucket()
    if bucket.name.commit is not None:
        raise S3Error("AccessDenied", f"bucket {bucket.name} is a commit: settings belong to branches")
    if text is None and bucket.branch is None:
        return
    edit = SettingsEdit({name: text}, guard=bucket.require_same, make=True)
    edit_settings(context.store, bucket.repo.name, bucket.name.branch, edit)


def set_tags(context: Context, tags: Mapping[str, str]) -> None:
    """Give the request's bucket these tags and no others; raises as `set_setting`."""
    set_setting(context, TAGS, json.dumps(tags, ensure_ascii=False) if tags else None)


def get_tags(bucket: Bucket) -> dict[str, str]:
    """Return the tags of a bucket; none when there are none."""
    text = bucket.settings.get(TAGS, "{}")
    return {str(key): str(value) for key, value in json.loads(text).items()}


def get_cors(bucket: Bucket) -> Rules | None:
    """Return the CORS rules of a bucket, None when it has none."""
    text = bucket.settings.get(CORS)
    return None if text is None else decode_rules(text)


def cors_headers(gateway: Gateway, request: Request) -> Headers:
    """Return the CORS headers of any answer to a request with an Origin; none where no rule allows it."""
    try:
        rules = get_cors(gateway.buckets.open(None, parse_bucket(request.bucket)))
    except (S3Error, PfsError):
        return ()
    return find_headers(rules or (), request.headers, request.method) or ()
