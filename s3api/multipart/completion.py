"""The commit of a multipart upload, made once: whoever completes it again gets the commit that is there.

The commit and the record of what an upload became are two steps, and clients complete an upload twice: as they missed
the answer, after a crash in between, or at the same time through two processes. So the object's row names its upload,
and at the very swap the commits since the first attempt are looked through for one that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pfs.files.fileref import FileRef
from pfs.ids import CommitId
from pfs.packs.session import WriteSession
from pfs.trees.edit import Put
from pfs.trees.row import Row
from pfs.trees.tree import Tree
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.multipart.uploads import Completing, Upload
from s3api.objects.buckets import Bucket
from s3api.objects.conditions import RowCheck
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import version_of

UPLOAD: Final = "i"
"""In the aux of an object: the 16 bytes of the id of the upload that made it."""
_CLOCKS_NS: Final = 3_600_000_000_000
"""By so much clocks may differ between the machines that complete an upload."""


class _MadeError(S3Error):
    """The upload is an object already: ``row``, as its commit has it."""

    def __init__(self, row: Row) -> None:
        super().__init__("NoSuchUpload")
        self.row = row


def with_upload(aux: Mapping[str, object], upload: Upload) -> dict[str, object]:
    """Return the aux with the id of the upload."""
    return {**aux, UPLOAD: bytes.fromhex(upload.id)}


async def commit_once(
    context: Context,
    bucket: Bucket,
    upload: Upload,
    ref: FileRef,
    *,
    aux: Mapping[str, object],
    check: RowCheck | None,
    session: WriteSession,
) -> str | None:
    """Commit the object of an upload; return its version, that of an earlier commit if there is one with these parts.

    Conditions hold for the commit, not for its repetition.

    Raises:
        S3Error: the check refused it; NoSuchUpload, it was completed with other parts.
        PfsError: nothing was changed.
    """
    since, made = await context.gateway.run(_begin, context, bucket, upload)
    put = Put(upload.key, ref.kind, ref.size, ref.tid, aux, force=True)

    def choose(tree: Tree) -> list[Put]:
        found = made or _find_made(upload, (tree, *_trees_since(bucket, since)))
        if found is not None:
            raise _MadeError(found)
        if check is not None:
            check(tree.stat(upload.key, want="file"))
        return [put]

    try:
        info = await context.commit(bucket, Write([put], session, choose=choose))
    except _MadeError as error:
        if (error.row.aux or {}).get("e") != aux["e"]:
            raise S3Error("NoSuchUpload", fields={"UploadId": upload.id}) from error
        return version_of(error.row)
    return None if info is None else info.id


def _begin(context: Context, bucket: Bucket, upload: Upload) -> tuple[Completing, Row | None]:
    """Record the attempt; return where the branch is, and what the upload became since the first attempt."""
    branch = context.store.refs.read(bucket.repo.name).body.branches.get(bucket.name.branch)
    mine = Completing(None if branch is None else branch.head, context.store.clock_ns())
    first = context.gateway.uploads.begin_completion(upload, mine)
    return mine, _find_made(upload, _trees_since(bucket, first))


def _find_made(upload: Upload, trees: Iterable[Tree]) -> Row | None:
    """Return the object that an upload became in one of the trees."""
    id = bytes.fromhex(upload.id)
    for tree in trees:
        row = tree.stat(upload.key, want="file")
        if row is not None and (row.aux or {}).get(UPLOAD) == id:
            return row
    return None


def _trees_since(bucket: Bucket, first: Completing) -> Iterator[Tree]:
    """Yield the commits of a branch since an attempt began; mostly none, or those of the same moment."""
    store, repo = bucket.repo.store, bucket.repo.name
    # Read after the refs that the commit swaps: if these differ from those, the swap fails, and this runs again.
    branch = store.refs.read(repo).body.branches.get(bucket.name.branch)
    if branch is None or branch.head is None or branch.head == first.head:
        return
    for record in store.history.first_parents(repo, CommitId(branch.head)):
        if record.id == first.head or record.finished_ns < first.started_ns - _CLOCKS_NS:
            return
        yield Tree(store.objects, record.tree_root())
