"""What tasks read from outside, imported before a run into a repo of the workflow; what is unchanged, not again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, InvalidInputError, NotFoundError
from pfs.sources.names import shown
from pps.secret_store import Secrets
from pps.spec.delivery import Levers
from pps.spec.node import Plain
from pps.spec.template import parse_template
from pps.workflows.compile import imports_dir, imports_repo
from pps.workflows.reading import told_at
from pps.workflows.types import FromUri, InputArtifact, TaskDef, Workflow

if TYPE_CHECKING:
    from pfs.repo import Repo
    from pfs.store import Store

Say = Callable[[str], None]
BRANCH = "master"


def say_nothing(_text: str) -> None:
    """Take a line and do nothing."""


def imported_inputs(workflow: Workflow, kept: Collection[str] = ()) -> Iterator[tuple[TaskDef, InputArtifact, FromUri]]:
    """Yield the inputs that are imported, of tasks that are not ``kept`` as they are."""
    for task in workflow.tasks:
        for one in task.inputs if task.name not in kept else ():
            if isinstance(one.source, FromUri):
                yield task, one, one.source


def refresh_imports(
    store: Store,
    workflow: Workflow,
    params: Mapping[str, Plain],
    *,
    kept: Collection[str] = (),
    say: Say = say_nothing,
    stop: threading.Event | None = None,
) -> None:
    """Make what is imported what is there now; each input that changed is a commit of its own, which makes no jobs.

    Raises:
        ConflictError: the repo for it is another's. NotFoundError: nothing is at a URI, or there is no such secret.
        InvalidInputError, StorageError, PlaceRefusedError: as `pps.transfers.imports.import_uri`; what was imported
            before it stays, and no run has seen it.
    """
    found = list(imported_inputs(workflow, kept))
    if not found:
        return
    repo = _repo(store, workflow.name)
    for task, one, source in found:
        with told_at(one.place):
            _refresh(store, repo, imports_dir(task.name, one.name), _Import(one, source, params), say=say, stop=stop)
    if repo.branch(BRANCH).head is None:
        with repo.commit(BRANCH, message="nothing to import") as commit:
            commit.finish()


def _repo(store: Store, workflow: str) -> Repo:
    name, description = imports_repo(workflow), f"imports of workflow {workflow}"
    repo = store.create_repo(name, description=description, exist_ok=True)
    if repo.info().description != description:
        raise ConflictError(
            f"there is a repo {name!r} that has no imports of a workflow: give the workflow another name"
        )
    repo.create_branch(BRANCH)
    return repo


class _Import:
    """One input that is imported, with the params in its URI."""

    def __init__(self, one: InputArtifact, source: FromUri, params: Mapping[str, Plain]) -> None:
        self.input, self.source = one, source
        self.uri = parse_template(source.uri).render(lambda reference: _text(params[reference.names[1]]))

    def secret(self, store: Store) -> dict[str, str]:
        if not self.source.secret:
            return {}
        values = Secrets(store).values(self.source.secret)
        try:
            return {name: value.decode() for name, value in values.items()}
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"secret {self.source.secret!r} has a value that is no text") from error


def _text(value: Plain) -> str:
    if isinstance(value, list | dict):
        raise InvalidInputError("a uri takes params that are texts, numbers or true and false")
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _refresh(store: Store, repo: Repo, path: str, one: _Import, *, say: Say, stop: threading.Event | None) -> None:
    from pps.transfers.imports import import_uri
    from pps.transfers.origins import ImportHow

    source = one.source
    levers = Levers(endpoint=source.endpoint, region=source.region, profile=source.profile)
    how = ImportHow(levers=levers, secret=one.secret(store))
    try:
        done = import_uri(store, repo.name, path, one.uri, how, branch=BRANCH, stop=stop)
    except NotFoundError:
        if not one.input.optional:
            raise
        _empty(repo, path)
        say(f"import {shown(one.uri)}: nothing is there")
        return
    say(f"import {shown(one.uri)}: {done.fetched} fetched, {done.unchanged} unchanged, {done.removed} removed")
    if done.left_out:
        say(f"import {shown(one.uri)}: warning: {done.left_out} left out, such as: {done.why}")


def _empty(repo: Repo, path: str) -> None:
    if repo.branch(BRANCH).head is None or repo.view(BRANCH).find(path) is None:
        return
    with repo.commit(BRANCH, message=f"nothing to import for {path}") as commit:
        commit.delete_file(path, recursive=True)
