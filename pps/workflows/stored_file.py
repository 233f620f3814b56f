"""The file of a workflow as its last run has it in the store."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import CommitNotFoundError, CorruptionError, InvalidInputError, NotFoundError, PathNotFoundError
from pps.workflows.before import BRANCH
from pps.workflows.parse import parse_workflow
from pps.workflows.records import FILES
from pps.workflows.types import Workflow

if TYPE_CHECKING:
    from pfs.store import Store


def find_stored(store: Store, name: str) -> Workflow | None:
    """Return the workflow as the last run of it was told; None without one.

    Raises:
        CorruptionError: what is there is no such file.
    """
    try:
        view = store.repo(name)[BRANCH]
    except (CommitNotFoundError, NotFoundError):
        return None
    for path in FILES:
        with suppress(PathNotFoundError):
            text = view.read(path)
            try:
                return parse_workflow(text.decode(), name=f"{name}{path[path.rindex('.') :]}", stored=True)
            except (InvalidInputError, UnicodeDecodeError) as error:
                raise CorruptionError(f"{name}@master:{path}", f"not the file of a workflow ({error})") from error
    return None
