"""The last step of every write of an object: its row goes into a commit."""

from __future__ import annotations

from collections.abc import Mapping

from pfs.files.fileref import FileRef
from pfs.packs.session import WriteSession
from pfs.trees.edit import Put
from s3api.gateway import Context
from s3api.http.response import Headers
from s3api.objects.buckets import Bucket
from s3api.objects.conditions import RowCheck
from s3api.objects.groupcommit import Write


async def put_row(
    context: Context,
    bucket: Bucket,
    key: bytes,
    ref: FileRef,
    *,
    aux: Mapping[str, object],
    check: RowCheck | None = None,
    session: WriteSession | None = None,
) -> Headers:
    """Commit an object's row and return the header with its version; ``session`` holds what of it is new.

    Raises:
        S3Error: the check refused it.
        PfsError: nothing was changed.
    """
    put = Put(key, ref.kind, ref.size, ref.tid, aux or None, force=True)
    checks = () if check is None else ((key, check),)
    info = await context.commit(bucket, Write([put], session, checks))
    return (("x-amz-version-id", info.id),) if info is not None else ()
