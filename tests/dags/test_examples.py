"""The examples, as their README tells them: each command is run, and what it is said to print is compared."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.dags.conftest import EXAMPLES

SECTIONS = [part.partition("\n") for part in (EXAMPLES / "README.md").read_text().split("\n## ")[1:]]
BLOCKS = {name: block for name, _, text in SECTIONS for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples with a store in it."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def commands(block: str) -> list[tuple[list[str], str]]:
    """Return the commands of a block, each with what it is said to print; nothing: that is not said."""
    steps = [step.partition("\n") for step in block.split("$ ")[1:]]
    return [(shlex.split(line), said) for line, _, said in steps]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_what_the_readme_says(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PFS_STORE", raising=False)
    pfs("init")
    for (program, *words), said in commands(block):
        printed = (pfs if program == "pfs" else pps)(*words).out
        assert not said or printed.rstrip("\n") == said.rstrip("\n")


def test_all_sections_are_found() -> None:
    assert list(BLOCKS) == ["joins", "hyperparameter", "s3_chain"]
