"""The files of a version's code, laid out for its commands: one copy for all versions and tasks that have the same.

``.pfs/run/code/<pipeline>/<version>`` is a link into ``.pfs/run/code/.trees``, where a copy has the digest of what is
in it as its name; it goes with its last link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pps.model.records import CODE_DIR

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.view import View
    from pps.model.catalog import Pipeline

TREES: Final = ".trees"
"""No name of a pipeline."""
_LOCK = threading.Lock()
"""A copy is not taken away between being found and being linked to; one process has the folder of a store."""


def lay_out_code(store: Store, run_dir: Path, pipeline: Pipeline) -> Path:
    """Return the folder with a version's code files; laid out once, whole or not at all. Threads may share it.

    Raises:
        PfsError, OSError: it cannot be.
    """
    place = run_dir / "code" / pipeline.name / pipeline.spec_commit
    with _LOCK:
        if place.is_dir():
            return place
        view = store.repo(pipeline.name).view(pipeline.spec_commit)
        tree = place.parent.parent / TREES / _digest(view)
        if not tree.is_dir():
            _drop_deleted(store, place.parent.parent)
            _lay_out(view, tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(uuid.uuid4().hex)
        draft.symlink_to(os.path.relpath(tree, place.parent), target_is_directory=True)
        draft.replace(place)
        return place


def _digest(view: View) -> str:
    """Return what two versions have in common whose files are the same, by path, content and whether they can run."""
    found = hashlib.sha256()
    if _has_code(view):
        for row in view.tree.walk(CODE_DIR.encode()[1:]):
            found.update(repr((row.key, int(row.kind), bytes(row.tid), sorted((row.aux or {}).items()))).encode())
    return found.hexdigest()


def _has_code(view: View) -> bool:
    return view.tree.stat(CODE_DIR.encode()[1:], want="dir") is not None


def _lay_out(view: View, tree: Path) -> None:
    draft = tree.with_name(f"{uuid.uuid4().hex}.draft")
    draft.mkdir(parents=True)
    try:
        if _has_code(view):
            view.restore(CODE_DIR, draft)
        draft.rename(tree)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def drop_other_code(place: Path) -> None:
    """Remove the code of other versions of the pipeline: their commands have ended."""
    with _LOCK:
        others = [old for old in place.parent.iterdir() if old != place]
        for old in others:
            _remove(old)
        if others:
            _drop_unused(place.parent.parent)


def _drop_deleted(store: Store, top: Path) -> None:
    """Remove what is there of pipelines that are gone."""
    if not top.is_dir():
        return
    for folder in top.iterdir():
        if folder.name != TREES and store.refs.find(folder.name) is None:
            _remove(folder)
    _drop_unused(top)


def _drop_unused(top: Path) -> None:
    trees = top / TREES
    links = [link for folder in top.iterdir() if folder != trees and folder.is_dir() for link in folder.iterdir()]
    used = {os.path.basename(os.readlink(link)) for link in links if link.is_symlink()}
    for tree in trees.iterdir() if trees.is_dir() else ():
        if tree.name not in used:
            shutil.rmtree(tree, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_symlink():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
