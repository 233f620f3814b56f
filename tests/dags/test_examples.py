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
    return [(shlex.split(line, comments=True), said) for line, _, said in steps]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_what_the_readme_says(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PFS_STORE", raising=False)
    pfs("init")
    last: list[str] = []
    for (program, *words), said in commands(block):
        printed = (pfs if program == "pfs" else pps)(*words).out
        assert not said or printed.rstrip("\n") == said.rstrip("\n")
        last = words if words[0] == "run-workflow" else last
    if last:
        tasks = pps(*last, "--json").json["tasks"]  # type: ignore[index]
        assert {one["outcome"] for one in tasks} == {"cached"}, tasks


def test_the_workflow_file_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run) -> None:
    text = (EXAMPLES.parent / "README.md").read_text().split("\n## Workflow files\n")[1].split("\n## ")[0]
    ((name, file),) = re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL)
    ((block),) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    (tmp_path / name).write_text(file)
    test_what_the_readme_says(block, tmp_path, monkeypatch, pfs, pps)


def test_all_sections_are_found() -> None:
    assert list(BLOCKS) == ["joins", "hyperparameter", "s3_chain", "report", "contact_sheet", "training"]


def processed(pps: Run, pipeline: str) -> list[tuple[int, int]]:
    """Return of each job of a task, the oldest first, how many of its items ran, and how many there were."""
    jobs = pps("list-job", "-p", pipeline, "--json").json
    return [(job["data_processed"], job["data_total"]) for job in jobs][::-1]  # type: ignore[attr-defined]


def test_an_item_more_runs_alone_and_what_it_makes_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PFS_STORE", raising=False)
    pfs("init")
    for count in (2, 3):
        pps("run-workflow", "-f", "contact_sheet/workflow.yaml", "--param", f"count={count}")
        pfs("get-file", "contact_sheet-sheet@master:/sheet/sheet.ppm", "-o", "sheet.ppm")
        assert Path("sheet.ppm").read_bytes().startswith(b"P6\n%d 16\n255\n" % (16 * count))
    assert processed(pps, "contact_sheet-shrink") == [(2, 2), (1, 3)]
    assert processed(pps, "contact_sheet-draw") == processed(pps, "contact_sheet-sheet") == [(1, 1), (1, 1)]
    (sheet,) = pps("list-artifact", "contact_sheet", "--task", "shrink", "--json").json  # type: ignore[misc]
    assert (sheet["output"], sheet["type"], sheet["files"], sheet["size_bytes"]) == ("thumbnails", "file", 3, 3 * 781)
