"""What the documents promise: commands that exist, code that runs, links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pfs
from cli import pfs_main, pps_main
from pfs.fsspec import PfsFileSystem

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize(("program", "table"), [("pfs", pfs_main.COMMANDS), ("pps", pps_main.COMMANDS)])
def test_every_command_is_documented(program: str, table: dict[str, object]) -> None:
    section = COMMANDS.split(f"\n## {program}\n")[1].split("\n## ")[0]
    documented = {word for words in re.findall(r"`([^`]+)`", section) for word in words.split()[:1]}
    assert set(table) <= documented


def python_of(document: str) -> list[str]:
    code = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert code
    return code


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of Dask's own calls
@pytest.mark.parametrize(("document", "number"), [("README.md", 1), ("docs/design/fsspec.md", 0)])
def test_the_spellings_for_other_libraries_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str, number: int
) -> None:
    with pfs.init(tmp_path) as store:
        photos = store.create_repo("photos")
        for rows in ("a.png,mon\n", "a.png,mon\nb.png,tue\n"):
            with photos.commit("master") as commit:
                commit.put_file("/labels.csv", f"file,day\n{rows}".encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PFS_STORE", raising=False)
    PfsFileSystem.clear_instance_cache()
    try:
        names: dict[str, Any] = {}
        exec(python_of(document)[number], names)
        assert len(names["frame"]) == 2 - (document == "README.md")
        assert list(names["lazy"].collect()["day"]) == ["mon", "tue"][: len(names["frame"])]
        if "fsspec" in document:
            assert len(names["dataset"].to_table()) == len(names["data"]) == len(names["parts"]) == 2
            fs = names["fs"]
            assert len(fs.glob("photos@master/set/*.parquet")) == len(fs.glob("photos@master/parts/*.parquet")) == 1
    finally:
        PfsFileSystem.clear_instance_cache()


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = python_of("README.md")
    monkeypatch.chdir(tmp_path)
    with pfs.init("demo") as store:
        store.create_repo("photos")
    exec(code[0], {})
    with pfs.open("demo") as store:
        assert store.repo("photos")["master"].read("/new.png") == b"..."


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing
