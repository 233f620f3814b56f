"""The files of a version's code, laid out for its commands."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pps.model.records import CODE_DIR

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.model.catalog import Pipeline


def lay_out_code(store: Store, run_dir: Path, pipeline: Pipeline) -> Path:
    """Return the folder with a version's code files; laid out once, whole or not at all.

    Raises:
        PfsError, OSError: it cannot be.
    """
    place = run_dir / "code" / pipeline.name / pipeline.spec_commit
    if place.is_dir():
        return place
    draft = place.with_name(uuid.uuid4().hex)
    draft.mkdir(parents=True)
    view = store.repo(pipeline.name).view(pipeline.spec_commit)
    if view.tree.stat(CODE_DIR.encode()[1:], want="dir") is not None:
        view.restore(CODE_DIR, draft)
    draft.rename(place)
    return place


def drop_other_code(place: Path) -> None:
    """Remove the code of other versions of the pipeline: their commands have ended."""
    for old in place.parent.iterdir():
        if old != place:
            shutil.rmtree(old, ignore_errors=True)
