"""What the documents promise: commands that exist, code that runs, links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pfs
from cli import pfs_main, pps_main

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(("program", "table"), [("pfs", pfs_main.COMMANDS), ("pps", pps_main.COMMANDS)])
def test_every_command_is_documented(program: str, table: dict[str, object]) -> None:
    section = COMMANDS.split(f"\n## {program}\n")[1].split("\n## ")[0]
    documented = {word for words in re.findall(r"`([^`]+)`", section) for word in words.split()[:1]}
    assert set(table) <= documented


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code
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
