"""CreateBucket: makes the repo and the branch; an existing bucket is answered with 200, as us-east-1 does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission, require_same_repo
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error, not_implemented
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.http.xml import parse, text_of
from s3api.objects.buckets import bucket_exists, repo_created_ns
from s3api.objects.names import BucketName, check_new_bucket, parse_bucket
from s3api.objects.settings import set_tags
from s3api.objects.tags import BUCKET, parse_tag_set
from s3api.operation import Operation

_MAX_BYTES = 256 << 10
_OWNERSHIP = "x-amz-object-ownership"
_OWNERSHIPS = {None, "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}
_REGION = re.compile(r"[A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class CreateBucket(Operation):
    """Make a bucket; the region in the body is read for its form and means nothing here, nor does ownership."""

    permission: ClassVar[Permission | None] = Permission.OWN
    bucket: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the name, and the ownership for its form."""
        ownership = request.header(_OWNERSHIP)
        if ownership not in _OWNERSHIPS:
            fields = {"ArgumentName": _OWNERSHIP}
            raise S3Error("InvalidArgument", f"Invalid {_OWNERSHIP} header: {ownership}", fields=fields)
        return cls(request.bucket)

    async def handle(self, context: Context) -> Response:
        """Create what is missing; tags of the body are those of a bucket that was made."""
        digests = Digests(context.request.headers, payload=context.caller.payload)
        tags = _parse_configuration(await context.body.read(digests, limit=_MAX_BYTES))
        await context.gateway.run(_create, context, parse_bucket(self.bucket), tags)
        return Response(200, (("location", f"/{self.bucket}"),))


def _parse_configuration(body: bytes) -> dict[str, str]:
    """Return the tags of a configuration, once the rest is known to be of no consequence."""
    if not body.strip():
        return {}
    root = parse(body, "CreateBucketConfiguration")
    for name in ("Location", "Bucket"):
        if root.find(name) is not None:
            raise not_implemented(f"{name} of CreateBucket (directory buckets)")
    if not _REGION.fullmatch((text_of(root, "LocationConstraint") or "").strip()):
        raise S3Error("InvalidLocationConstraint")
    tags = root.find("Tags")
    return {} if tags is None else parse_tag_set(tags, BUCKET)


def _create(context: Context, name: BucketName, tags: dict[str, str]) -> None:
    if context.gateway.buckets.takes(context.caller.key, name):
        return
    if name.commit is not None:
        raise S3Error("AccessDenied", "a bucket of a commit exists when the commit does; it cannot be created")
    require_same_repo(context.caller.key, name.repo, repo_created_ns(context.store, name.repo))
    if bucket_exists(context.store, name) and name.branch in context.store.repo(name.repo).info().branches:
        return
    check_new_bucket(context.request.bucket)
    repo = context.store.create_repo(name.repo, exist_ok=True)
    repo.create_branch(name.branch)
    if tags:
        set_tags(context, tags)
