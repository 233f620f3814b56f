"""The commits of each repo in the index, by the number that the repo has there (docs/format/index.md).

Functions over a transaction, so that what belongs to one change is one change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from pfs.ids import CommitId, PackId
from pfs.packs.index_env import Txn
from pfs.packs.index_rows import KEY_SIZE, NUMBER, commit_key

_PAGE: Final = 256
"""Commits read in one transaction."""


def put(txn: Txn, repo: str, commit: CommitId, record: bytes) -> None:
    """Put the encoded record of a commit; a repo that is new here gets a number."""
    txn.put("commit", commit_key(_number(txn, repo), commit), record)


def get(txn: Txn, repo: str, commit: CommitId) -> bytes | None:
    """Return the encoded record of a commit, or None."""
    number = txn.get("repo", repo.encode())
    return txn.get("commit", commit_key(number, commit)) if number else None


def page(txn: Txn, repo: str, start: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    """Return some (id, record) of a repo from the id ``start`` on, in order, and where the next page starts."""
    number = txn.get("repo", repo.encode())
    rows = list(islice(_rows(txn, number, start), _PAGE)) if number else []
    last = int.from_bytes(rows[-1][0], "big") + 1 if len(rows) == _PAGE else 0
    return rows, last.to_bytes(KEY_SIZE, "big") if 0 < last < 1 << 128 else None


def move(txn: Txn, moves: Iterable[tuple[str, CommitId, PackId, PackId]]) -> None:
    """Change the pack in the rows of commits, given as (repo, id, old pack, new pack), that still name the old."""
    for repo, commit, old, new in moves:
        number = txn.get("repo", repo.encode())
        row = None if number is None else txn.get("commit", commit_key(number, commit))
        if number is not None and row is not None and row[: len(old)] == old:
            txn.put("commit", commit_key(number, commit), new + row[len(old) :])


def forget(txn: Txn, repo: str, commits: Iterable[CommitId]) -> None:
    """Remove some of a repo's commits."""
    number = txn.get("repo", repo.encode())
    if number is not None:
        for commit in commits:
            txn.delete("commit", commit_key(number, commit))


def forget_repo(txn: Txn, repo: str) -> None:
    """Remove a repo's commits, and its number."""
    number = txn.get("repo", repo.encode())
    if number is not None:
        for id, _ in list(_rows(txn, number, bytes(KEY_SIZE))):
            txn.delete("commit", number + id)
        txn.delete("repo", repo.encode())


def _number(txn: Txn, repo: str) -> bytes:
    known = txn.get("repo", repo.encode())
    if known is not None:
        return known
    last = txn.get("meta", b"last_repo") or NUMBER.pack(0)
    number = NUMBER.pack(NUMBER.unpack(last)[0] + 1)
    txn.put("meta", b"last_repo", number)
    txn.put("repo", repo.encode(), number)
    return number


def _rows(txn: Txn, number: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = txn.cursor("commit")
    if not cursor.set_range(number + start):
        return
    for key, record in cursor.iternext():
        if key[: len(number)] != number:
            return
        yield key[len(number) :], record
