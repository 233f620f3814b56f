"""Scenarios of files and names: what the everyday commands change."""

from __future__ import annotations

import io
import tarfile

from pfs.changes.metadata import MetadataEdit
from pfs.changes.trash import undelete_repo
from pfs.intake import Intake, PutHow
from pfs.model import BranchRef
from pfs.refs.retention import Keep, Retention
from pfs.store import Store
from tests.matrix.scenario import Scenario, over
from tests.matrix.world import BIG, prepare, put, text


def put_file(store: Store) -> None:
    with store.repo("data").commit("master", message="put") as commit:
        commit.put_file("/put", text("put"))
        commit.put_file("/b", b"more", append=True)


def put_large(store: Store) -> None:
    put(store.repo("data"), "master", {"/big": BIG}, "big")


def put_many(store: Store) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(60):
            info, data = tarfile.TarInfo(f"{number % 3}/{number}"), text(f"{number}", 1000)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    archive.seek(0)
    with store.repo("data").commit("master") as commit:
        intake = Intake(commit, PutHow(mirror="/d"))
        intake.archive("/d", archive, name="x.tar")
        intake.finish()


def copy_file(store: Store) -> None:
    with store.repo("data").commit("master") as commit:
        commit.copy(store.repo("other")["master"], "/p", "/copied")


def put_upstream(store: Store) -> None:
    """A commit from which another repo's branch is computed: that gets an open commit."""
    put(store.repo("data"), "dev", {"/up": text("up")})


def several_repos(store: Store) -> None:
    with store.transaction(message="both") as transaction:
        for name in ("data", "other"):
            repo = transaction.repo(name)
            with repo.commit("master") as commit:
                commit.put_file("/both", text("both"))
            repo.create_tag("both", "master^")
        transaction.create_repo("third")


def metadata(store: Store) -> None:
    store.repo("data").edit_metadata(MetadataEdit({"k": "v"}))


def keep_last(store: Store) -> None:
    store.repo("data").set_retention(Retention(keep=Keep(last=2)))


def _named(name: str, work: object) -> Scenario:
    return Scenario(name, over(work), prepare)  # type: ignore[arg-type]  # a function of a store


FILES = (
    _named("put-file", put_file),
    _named("put-file, large", put_large),
    _named("put-file -r, mirrored", put_many),
    _named("delete-file", lambda store: put(store.repo("data"), "master", {"/d/x": None})),
    _named("copy-file from another repo", copy_file),
    _named("put-file, computed branch downstream", put_upstream),
    _named("start-commit", lambda store: store.repo("data").start_commit("master")),
    _named("put-file into an open commit", lambda store: put(store.repo("data"), "open", {"/in": text("in")})),
    _named("finish-commit", lambda store: store.repo("data").finish_commit("open")),
    _named("transaction over several repos", several_repos),
)
NAMES = (
    _named("create-repo", lambda store: store.create_repo("made")),
    _named("delete-repo", lambda store: store.delete_repo("other")),
    Scenario(
        "delete-repo --force, a branch computed from it",
        over(lambda store: store.delete_repo("data", force=True)),
        prepare,
        unit="repo",
    ),
    _named("undelete a repo", lambda store: undelete_repo(store, "buried")),
    _named("create-branch", lambda store: store.repo("data").create_branch("made", head="master^")),
    _named(
        "create-branch, computed",
        lambda store: store.repo("other").create_branch("made", provenance=[BranchRef("data", "master")]),
    ),
    _named("delete-branch", lambda store: store.repo("data").delete_branch("master", force=True)),
    _named("undelete a branch", lambda store: store.repo("data").undelete("gone")),
    _named("create-tag", lambda store: store.repo("data").create_tag("v2", "dev^")),
    _named("delete-tag", lambda store: store.repo("data").delete_tag("v1")),
    _named("edit-metadata", metadata),
    _named("set-retention", keep_last),
)
