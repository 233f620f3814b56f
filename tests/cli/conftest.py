"""The programs run in this process: the same code as from the shell, without a start-up for each command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import pfs_main, pps_main
from cli.app import CommandTable, program, run


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Result]


def _runner(table: CommandTable, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*words: object, code: int = 0) -> Result:
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(table, [str(word) for word in words])
        out, err = capsysbinary.readouterr()
        result = Result(int(stop.value.code or 0), out.decode(errors="replace"), err.decode())
        assert result.code == code, result
        errors = [line for line in result.err.splitlines() if not line.startswith("note: ")]
        assert (len(errors) == 1) == (code != 0) or table.name == "pps", result
        return result

    return call


@pytest.fixture
def pfs(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    return _runner(program("pfs", pfs_main.COMMANDS, help="pfs"), capsysbinary)


@pytest.fixture
def pps(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    return _runner(program("pps", pps_main.COMMANDS, help="pps"), capsysbinary)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run) -> Path:
    """A store in the working directory, with the repo ``r``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PFS_STORE", raising=False)
    pfs("init")
    pfs("create-repo", "r")
    return tmp_path
