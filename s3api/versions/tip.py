"""Where the history of a bucket begins: its newest commits, and what of the refs says that it is still the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from pfs.history.resolve import open_info
from pfs.ids import CommitId
from pfs.model import CommitInfo
from pfs.refs.body import RefsBody
from s3api.objects.buckets import Bucket


@dataclass(frozen=True, slots=True)
class Tip:
    """The last finished commit of a bucket (None: there is none), and its open commit if it is read through one.

    ``mark`` is another after anything that gives finished commits other parents or other trees: squash, retention,
    purge, a new repo of the name.
    """

    repo: str
    head: CommitId | None
    opened: CommitInfo | None
    mark: bytes


def tip_of(bucket: Bucket) -> Tip:
    """Return the tip of a bucket as its refs are now; one read of them."""
    store, name = bucket.repo.store, bucket.repo.name
    body = store.refs.read(name).body
    if bucket.name.commit is not None:
        info = bucket.repo.inspect(bucket.name.commit)
        opened = info if info.open else None
        head = (info.parents[0] if info.parents else None) if info.open else info.id
        return Tip(name, head, opened, _mark(body))
    entry, commit = body.branches.get(bucket.name.branch), body.open_on(bucket.name.branch)
    if commit is not None:
        return Tip(name, body.open[commit].parent, open_info(name, commit, body.open[commit]), _mark(body))
    return Tip(name, None if entry is None else entry.head, None, _mark(body))


def _mark(body: RefsBody) -> bytes:
    facts = (body.generation(), body.rewrites, sorted(body.edges.items(), key=str), body.older)
    return blake2b(repr(facts).encode(), digest_size=16).digest()
