"""The programs as such: tables, help, aliases, --store, exit codes of the whole error tree."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli import exits, pfs_main, pps_main
from cli.entry import Entry
from cli.words import hoist_store
from pfs import errors
from tests.cli.conftest import Run

ALL = [*pfs_main.COMMANDS.items(), *pps_main.COMMANDS.items()]


@pytest.mark.parametrize(("name", "entry"), ALL, ids=lambda value: value if isinstance(value, str) else "")
def test_every_entry_leads_to_its_command(name: str, entry: Entry) -> None:
    command = getattr(importlib.import_module(entry.module), entry.function)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_help_lists_every_command_and_imports_none() -> None:
    script = (
        "import atexit, sys; from cli.pfs_main import main\n"
        "heavy = ('cli.commands.', 'numpy', 'lmdb', 'rich')\n"
        "atexit.register(lambda: print([m for m in sys.modules if m.startswith(heavy)]))\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in pfs_main.COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


def subclasses(cls: type[errors.PfsError]) -> list[type[errors.PfsError]]:
    return [sub for direct in cls.__subclasses__() for sub in [direct, *subclasses(direct)]]


def test_every_error_has_a_documented_exit_code_and_a_kind_of_its_own() -> None:
    for package in map(importlib.import_module, ("pfs", "pps", "s3api", "cli")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found = subclasses(errors.PfsError)
    assert all(any(issubclass(cls, group) for group, _ in exits._CODES) for cls in found)
    kinds = [cls.kind for cls in found]
    assert len(set(kinds)) == len(kinds)


def test_store_may_stand_anywhere_but_behind_two_dashes() -> None:
    assert hoist_store(["list-repo", "--store", "x", "--json"]) == ["--store", "x", "list-repo", "--json"]
    assert hoist_store(["list-repo", "--store=x"]) == ["--store=x", "list-repo"]
    assert hoist_store(["a", "--", "--store", "x"]) == ["a", "--", "--store", "x"]
    assert hoist_store(["list-repo", "--store"]) == ["--store=", "list-repo"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("get-file", "r@master:/f", "--store"), "--store"),
        (("get-file", "r@master:/f", "--store", ""), "--store"),
        (("--store=", "list-repo"), "--store"),
        (("put-file", "r@master", "-r", "-f", "", "--delete-extra"), "-f"),
        (("put-file", "r@master", "-f", "f", "-f", ""), "-f"),
        (("put-file", "r@master", "-i", ""), "-i"),
        (("put-file", "r@master", "--index", ""), "--index"),
        (("get-file", "r@master:/", "-r", "-o", ""), "-o"),
        (("get-file", "r@master:/f", "-o", ""), "-o"),
        (("init", ""), "DIR"),
        (("clone", "", "x"), "SRC"),
        (("clone", "x", ""), "DST"),
        (("push", ""), "DST"),
        (("pull", ""), "SRC"),
    ],
)
def test_an_empty_name_is_not_the_working_directory(store: Path, pfs: Run, words: tuple[str, ...], option: str) -> None:
    Path("f").write_text("1")
    pfs("put-file", "r@master:/kept", "-f", "f")
    before = sorted(path.name for path in store.iterdir())
    said = pfs(*words, code=2).err
    assert said.startswith(f"pfs: {option} needs a value that is not empty: name ")
    assert [record["path"] for record in pfs("list-file", "r@master", "--json").json] == ["/kept"]
    assert sorted(path.name for path in store.iterdir()) == before


def test_store_before_and_after_the_command(store: Path, pfs: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    pfs("init", other)
    assert pfs("list-repo", "--json", "--store", other).json == []
    assert pfs("--store", other / ".pfs", "list-repo", "--json").json == []
    assert pfs("list-repo", "--json").json != []


def test_pfs_store_names_the_store(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PFS_STORE", str(store))
    monkeypatch.chdir("/")
    assert pfs("locate").out == f"{store / '.pfs'}\n"


def test_no_store(tmp_path: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PFS_STORE", raising=False)
    assert "pfs init" in pfs("list-repo", code=3).err


def test_plurals_are_aliases_and_typos_are_named(store: Path, pfs: Run) -> None:
    assert pfs("list-repos").out == pfs("list-repo").out
    assert pfs("list-branches", "r").out == pfs("list-branch", "r").out
    assert "did you mean 'list-repo'?" in pfs("lst-repo", code=2).err


@pytest.mark.row("4 grammar")
def test_verb_and_noun_may_be_two_words(store: Path, pfs: Run, pps: Run) -> None:
    assert pfs("list", "repos").out == pfs("list-repo").out
    assert pfs("--store", store, "list", "repo", "--json").json == pfs("list-repo", "--json").json
    assert pfs("list", "repo", "--store", "list", code=3).err
    pfs("create", "repo", "list")
    assert pfs("inspect", "repo", "list", "--json").json["name"] == "list"  # type: ignore[call-overload]
    assert pps("list", "pipeline", "--json").json == pps("list", "jobs", "--json").json == []
    assert "no such command 'list'" in pfs("list", "pipelines", code=2).err
    assert "no such command 'list'" in pfs("list", code=2).err
    assert "pipeline 'cron' not found" in pps("run", "cron", code=3).err, "run is a command by itself"


@pytest.mark.parametrize(
    "words",
    [
        ("put-file",),
        ("put-file", "r@master"),
        ("list-repo", "--nonsense"),
        ("list-file", "r"),
        ("list-file", "@master"),
        ("get-file", "r@master"),
        ("get-file", "a b@master:/x"),
        ("get-file", "other/r@master:/x"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(store: Path, pfs: Run, words: tuple[str, ...]) -> None:
    result = pfs(*words, code=2)
    assert result.err.startswith("pfs")
    assert "Traceback" not in result.err


def test_version(pfs: Run) -> None:
    assert pfs("--version").out.startswith("pfs ")
    assert set(pfs("version", "--json").json) >= {"name", "version", "python", "kernel"}  # type: ignore[call-overload]


def test_completion_scripts(pfs: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_PFS_COMPLETE" in pfs("completion", shell).out


LONG = "long" * 2000


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["get-file", f"r@master:/{LONG}[*"], 2),
        (["get-file", f"r@master:/{'x/' * 2000}*"], 3),
        (["get-file", f"r@master:/{'x/' * 200}y"], 3),
        (["get-file", f"r@{LONG}:/x"], 3),
        (["get-file", f"r@master^{LONG}:/x"], 2),
        (["list-file", f"{LONG}@master"], 2),
        (["get-file", LONG], 2),
        ([LONG], 2),
        (["list-file", "r@master", "-n", LONG], 2),
        (["list-file", "r@master", f"--{LONG}"], 2),
        (["put-file", "r@master", "-f", LONG], 3),
        (["put-file", "r@master", "-f", f"{'x/' * 500}y"], 3),
        (["put-file", "r@master", "-f", f"ftpx://{LONG}"], 2),
        (["put-file", "r@master", "-f", f"http://{LONG}"], 2),
        (["put-file", "r@master", "-i", "list"], 3),
        (["put-file", "r@master", "-f", "list", "--metadata", LONG], 2),
        (["put-file", "r@master", "-f", "list", "--mime", LONG], 2),
        (["diff-file", "r@master:/wide.csv", "--rows"], 2),
        (["diff-file", "r@master:/ok.csv", "--rows", "--key", LONG], 2),
    ],
)
def test_a_long_word_is_quoted_in_short(store: Path, pfs: Run, words: list[str], code: int) -> None:
    Path("list").write_text(f"{LONG}\n")
    Path("wide.csv").write_text(f"a,b\n{LONG}\n")
    Path("ok.csv").write_text(",".join(f"column{number}" for number in range(500)))
    pfs("put-file", "r@master", "-f", "wide.csv", "-f", "ok.csv")
    error = pfs(*words, code=code).err
    assert len(error) < 400, error
    assert "longlonglonglong" * 6 not in error


@pytest.mark.parametrize(
    "words",
    [
        ("put-file", "r@master:/f", "-f", "f", "-m"),
        ("delete-file", "r@open:/f", "-m"),
        ("start-commit", "r@other", "-m"),
        ("finish-commit", "r@open", "-m"),
        ("finish-commit", "r@open", "--error"),
        ("merge", "r@open", "r@master", "-m"),
        ("start-transaction", "-m"),
        ("create-repo", "other", "-d"),
        ("update-repo", "r", "-d"),
    ],
)
def test_texts_that_are_no_utf_8_are_wrong_input(store: Path, pfs: Run, words: tuple[str, ...]) -> None:
    Path("f").write_text("f")
    pfs("put-file", "r@master", "-f", "f")
    if words[0] == "merge":
        pfs("put-file", "r@open", "-f", "f")
        pfs("delete-file", "r@master:/f")
    else:
        pfs("start-commit", "r@open")
    said = pfs(*words, "\udcff\udcfe", code=2).err
    assert said == "pfs: the text '\\udcff\\udcfe' is not valid UTF-8\n"
