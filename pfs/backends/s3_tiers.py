"""Storage classes of a bucket: moving an object to another, and having one restored from an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pfs.backends.classes import ARCHIVES, STANDARD
from pfs.backends.s3_errors import code_of, is_condition, is_missing

Call = Callable[..., Any]
"""Makes a request of boto3: name of the method, and its arguments."""


def move(call: Call, place: Mapping[str, str], storage_class: str, *, more: Mapping[str, object], bare: bool) -> bool:
    """Copy an object onto itself in another class; False if it is not there. ``place``: Bucket and Key.

    Metadata goes along. The copy is made of the very object that was looked at, and where S3 knows that condition it
    replaces no other and none that was deleted meanwhile. ``bare``: etags without quotes.
    """
    try:
        head = call("head_object", **place)
        if head.get("StorageClass", STANDARD) == storage_class:
            return True
        etag = str(head["ETag"])
        condition = {"CopySourceIfMatch": etag.strip('"') if bare else etag}
        call(
            "copy_object",
            **place,
            CopySource=dict(place),
            StorageClass=storage_class,
            MetadataDirective="COPY",
            **(condition if bare else condition | {"IfMatch": etag}),
            **more,
        )
    except ClientError as error:
        if is_missing(error) or is_condition(error):
            return False
        raise
    return True


def restore(call: Call, place: Mapping[str, str], *, days: int, speed: str) -> bool:
    """Have an object restored unless that was asked for before; say whether it can be read now."""
    head = call("head_object", **place)
    state = str(head.get("Restore", ""))
    if head.get("StorageClass", STANDARD) not in ARCHIVES or 'ongoing-request="false"' in state:
        return True
    if not state:
        wish = {"Days": days, "GlacierJobParameters": {"Tier": speed}}
        try:
            call("restore_object", **place, RestoreRequest=wish)
        except ClientError as error:
            if code_of(error) != "RestoreAlreadyInProgress":
                raise
    return False
