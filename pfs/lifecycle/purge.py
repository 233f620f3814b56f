"""Deleting a path for good: out of every commit of a repo, with its bytes free for collection (docs/design/purge.md).

Ids of commits stay, and rows stay as REMOVED with the size and logical id that they had, so that lineage can be
followed. Records are written anew, and refs say which count. One swap of refs is the moment; what fails before it
changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import PathNotFoundError
from pfs.lifecycle.copies import find_copies
from pfs.lifecycle.rewrite import Mirror, Rewriter
from pfs.lifecycle.rewriting import Pages, Rewriting
from pfs.paths import clean_path, to_key

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What was purged, or would be.

    ``commits``: finished commits that had content there; ``open_commits`` likewise; ``contents``: how many different
    contents those were, of ``size_bytes`` together. ``copies``: other paths with the same contents, which were not
    touched, as ``repo@commit:/path``; ``more_copies``: there are more than these.
    """

    repo: str
    path: str
    commits: int
    open_commits: int
    contents: int
    size_bytes: int
    copies: tuple[str, ...]
    more_copies: bool


def purge(
    store: Store,
    repo: str,
    path: str,
    *,
    recursive: bool = False,
    dry_run: bool = False,
    mirrors: tuple[Mirror, ...] = (),
    progress: Progress | None = None,
) -> PurgeReport:
    """Take the content of a file, with ``recursive`` of all files below a directory, out of all commits of a repo.

    Of branches, tags, trash, failed and open commits alike; ``mirrors``: hidden branches that lay out the repo's files
    a second time. Costs O(commits x depth) pages; memory: some hundred bytes a commit. Bytes are freed by collection.
    Doing it again changes nothing.

    Raises:
        RepoNotFoundError: there is none. PathNotFoundError: no commit has the path.
        InvalidInputError: it is a directory, and ``recursive`` is not set.
        CorruptionError, MissingObjectError: a commit or page is damaged: nothing was changed.
        ConflictError: the repo is being changed too often. StorageError: nothing was changed, or all of it.
    """
    with Pages(store, tentative=dry_run) as pages:
        change = Rewriter(pages.sink, to_key(path), recursive=recursive, mirrors=mirrors)
        work = Rewriting(store, repo, change, pages, progress=progress)
        work.run()
    place, contents = clean_path(path), change.contents
    if not change.met:
        raise PathNotFoundError(f"{repo}:{place} in any commit")
    copies = find_copies(store, contents.words, leave_out=(repo, to_key(path)) if dry_run else None)
    done = len(work.changed), len(work.opened), len(contents.words), contents.size_bytes
    return PurgeReport(repo, place, *done, copies.places, copies.more)
