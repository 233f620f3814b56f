"""Free text that is no UTF-8 is refused wherever it would be stored, and nothing is changed then."""

from collections.abc import Callable

import pytest

from pfs.changes.metadata import MetadataEdit, edit_branch, edit_commit, edit_repo
from pfs.changes.settings import SettingsEdit, edit_settings
from pfs.errors import InvalidInputError
from pfs.repo import Repo
from pfs.store import Store
from pfs.texts import check_text, encoded
from pfs.transactions.transaction import begin

ODD = "a\udcff"
BAD = MetadataEdit({"k": ODD})


def put(repo: Repo) -> None:
    with repo.commit("master", message=ODD) as commit:
        commit.put_file("/a", b"1")


def put_by_transaction(repo: Repo) -> None:
    with begin(repo.store) as together, together.repo(repo.name).commit("master", message=ODD) as commit:
        commit.put_file("/a", b"1")


def create(repo: Repo) -> None:
    try:
        repo.store.create_repo("other", description=ODD)
    finally:
        assert [info.name for info in repo.store.list_repos()] == [repo.name]


WAYS: dict[str, Callable[[Repo], object]] = {
    "put": put,
    "put by transaction": put_by_transaction,
    "create": create,
    "describe": lambda repo: repo.describe(ODD),
    "start": lambda repo: repo.start_commit("other", message=ODD),
    "finish": lambda repo: repo.finish_commit("open", message=ODD),
    "error": lambda repo: repo.finish_commit("open", error=ODD),
    "begin": lambda repo: begin(repo.store, message=ODD),
    "metadata of the repo": lambda repo: edit_repo(repo.store, repo.name, BAD),
    "metadata of a branch": lambda repo: edit_branch(repo.store, repo.name, "master", BAD),
    "metadata of a commit": lambda repo: edit_commit(repo.store, repo.name, "master", BAD),
    "setting": lambda repo: edit_settings(repo.store, repo.name, "master", SettingsEdit({"k": ODD})),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused_and_nothing_is_changed(store: Store, repo: Repo, way: str) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/a", b"0")
    repo.start_commit("open")
    before = store.refs.read(repo.name).body
    with pytest.raises(InvalidInputError):
        WAYS[way](repo)
    assert store.refs.read(repo.name).body == before
    repo.finish_commit("open", message="é")  # is as open as before


def test_what_is_utf_8_goes_through() -> None:
    assert check_text("é\n") == "é\n"
    assert encoded(str.encode, "é") == "é".encode()


def test_a_message_is_refused_before_anything_is_read(repo: Repo) -> None:
    with pytest.raises(InvalidInputError, match=r"^the text 'a\\udcff' is not valid UTF-8$"):
        repo.commit("master", message=ODD).__enter__()
