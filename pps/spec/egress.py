"""The field ``egress``: where the output of a job is sent to as well."""

from __future__ import annotations

from pfs.errors import InvalidInputError
from pfs.paths import check_name
from pps.spec.fields import Fields
from pps.spec.types import Egress

_SCHEMES = ("s3://", "file:///")


def read_egress(pipeline: Fields) -> Egress | None:
    """Return where the output goes, None if nowhere; what is wrong goes to the findings."""
    fields = pipeline.child("egress")
    if fields is None:
        return None
    objects = fields.child("object_storage")
    if objects is not None and fields.has("url"):
        fields.bad("object_storage", "egress goes to one place: give 'URL' or 'object_storage', not both")
    where = fields if objects is None else objects
    url = where.text("url")
    if not url and not fields.is_bad("sql_database"):
        where.bad("url", "egress needs a URL: s3://bucket/path or file:///path")
    elif url and (not url.startswith(_SCHEMES) or len(url) <= len("s3://")):
        where.bad("url", f"egress to {url!r} is not supported: give s3://bucket/path or file:///path")
    return Egress(url, "" if objects is None else _secret(objects))


def _secret(objects: Fields) -> str:
    fields = objects.child("secret")
    if fields is None:
        return ""
    name = fields.text("name")
    try:
        return check_name("secret", name)
    except InvalidInputError as error:
        fields.bad("name", str(error))
        return ""
