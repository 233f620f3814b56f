"""Plain words: what is read without click is what click would have read."""

from __future__ import annotations

import inspect
from importlib import import_module
from itertools import chain
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import pfs_main, plain
from cli.app import program
from cli.words import hoist_store
from tests.cli.conftest import Run

TABLE = program("pfs", pfs_main.COMMANDS, help="pfs")
ODD = ["-a", "--", "-", "", "-rf", "-fx", "--fil", "--json", "--message=x", "-f"]
VALUES = ["x", "r@master:/a", "put-file", "a b", "=", "\udcff"]
STORES = [[], [], ["--store", "s"], ["--store=s"], ["--store", "s", "--store", "t"], ["--store", ""], ["--store"]]
VALUE = st.sampled_from(VALUES)
USUAL = st.one_of(
    st.tuples(st.sampled_from(["-f", "--file", "-m", "--message", "-o", "--output"]), VALUE).map(list),
    st.sampled_from([["-r"], ["--recursive"]]),
)
ANY = st.one_of(USUAL, st.sampled_from([*ODD, *VALUES]).map(lambda word: [word]))
PIECES = st.one_of(st.lists(ANY, max_size=5), st.lists(USUAL, max_size=4).map(lambda pieces: [["r@master"], *pieces]))
LINES = st.tuples(
    st.sampled_from(STORES),
    st.sampled_from([[name] for name in [*plain.COMMANDS, "put-files", "list-repo"]]),
    PIECES.flatmap(st.permutations).map(lambda pieces: [*chain(*pieces)]),
    st.sampled_from(STORES),
).map(lambda parts: [*chain(*parts)])


def by_click(call: plain.Call, words: list[str]) -> tuple[str | None, dict[str, object]]:
    """Return the store and all parameters as click reads them."""
    hoisted = hoist_store(words)
    above = TABLE.make_context("pfs", [*hoisted])
    command = TABLE.get_command(above, call.command)
    assert command is not None
    behind = hoisted[hoisted.index(call.command) + 1 :]
    return above.params["store"], command.make_context(call.command, behind, parent=above).params


def defaults(name: str) -> dict[str, object]:
    one = plain.COMMANDS[name]
    function = getattr(import_module(one.module), one.function)
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in found if each.default is not each.empty}


@given(LINES)
def test_it_reads_as_click_does(words: list[str]) -> None:
    call = plain.read(words)
    if call is not None:
        mine = {**defaults(call.command), "address": call.address, **call.given}
        assert (call.store, mine) == by_click(call, words)


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["put-file", "r@master", "-f", "a", "--file", "b"], {"files": ("a", "b")}),
        (["put-file", "-r", "-f", "a", "r@master", "-m", ""], None),
        (
            ["put-file", "-r", "-f", "a", "r@master", "-m", "text"],
            {"recursive": True, "files": ("a",), "message": "text"},
        ),
        (["get-file", "r@master"], {}),
        (["get-file", "r@master", "-o", "x", "-r"], {"output": "x", "recursive": True}),
        (["get-file", "r@master", "-o", "-"], None),
        (["get-file", "r@master", "--help"], None),
        (["get-file", "--", "r@master"], None),
        (["put-file", "r@master", "-f"], None),
        (["put-file", "r@master", "other"], None),
        (["list-repo"], None),
        ([], None),
    ],
)
def test_only_the_usual_is_plain(words: list[str], read: dict[str, object] | None) -> None:
    call = plain.read(words)
    assert (None if call is None else call.given) == read


def test_a_command_of_a_table_is_what_click_calls() -> None:
    for name, one in plain.COMMANDS.items():
        entry = pfs_main.COMMANDS[name]
        command = getattr(import_module(entry.module), entry.function)
        assert isinstance(command, click.Command)
        assert command.callback is getattr(import_module(one.module), one.function)


def test_errors_of_plain_words_are_those_of_click(
    store: Path, pfs: Run, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for words in (
        ["get-file", "r@master:/none"],
        ["put-file", "r@@", "-f", "x"],
        ["put-file", "r@master", "-f", "none"],
    ):
        with pytest.raises(SystemExit) as stop:
            plain.run("pfs", words)
        said = capsysbinary.readouterr().err.decode()
        assert said == pfs(*words, code=int(stop.value.code or 0)).err
