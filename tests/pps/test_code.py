"""Which files belong to a command, and that any change of them is seen."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import InvalidInputError
from pps.pipelines.code import code_digests, code_files, words_of
from pps.spec import Transform


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "run.sh",
        "edges.py",
        "lib/one.py",
        "lib/deep/two.py",
        "lib/__pycache__/x.pyc",
        "with space.py",
        "unused",
    ):
        path = tmp_path / "specs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside.sh").write_text("outside")
    return tmp_path / "specs"


@pytest.mark.parametrize(
    ("transform", "names"),
    [
        (Transform(("python3", "edges.py", "-v")), {"edges.py"}),
        (Transform(("python3", "./lib/../edges.py")), {"edges.py"}),
        (Transform(("sh", "-c", "python3 edges.py && sh run.sh # unused")), {"edges.py", "run.sh"}),
        (Transform(("sh",), stdin=("python3 'with space.py'", "sh run.sh >out")), {"with space.py", "run.sh"}),
        (Transform(("sh", "it's run.sh"), err_cmd=("run.sh",)), {"run.sh"}),
        (Transform(("true",), err_stdin=("lib/one.py",)), {"lib/one.py"}),
        (Transform(("python3", "lib", ".", "", "\0", "../outside.sh", "/etc/passwd", "x" * 300, "x" * 5000)), set()),
        (Transform(("true",), code=("lib", "unused")), {"lib/one.py", "lib/deep/two.py", "unused"}),
        (
            Transform(("true",), code=(".",)),
            {"run.sh", "edges.py", "lib/one.py", "lib/deep/two.py", "with space.py", "unused"},
        ),
    ],
)
def test_words_that_name_files_are_code(folder: Path, transform: Transform, names: set[str]) -> None:
    assert set(code_files(transform, folder)) == names


def test_absolute_paths_inside_the_folder_count(folder: Path) -> None:
    assert set(code_files(Transform(("sh", str(folder / "run.sh"))), folder)) == {"run.sh"}


@pytest.mark.parametrize("listed", ["nosuch", "../outside.sh", "/etc/passwd"])
def test_listed_code_must_be_there(folder: Path, listed: str) -> None:
    with pytest.raises(InvalidInputError, match=r"transform\.code"):
        code_files(Transform(("true",), code=(listed,)), folder)


def test_content_and_mode_are_seen(folder: Path) -> None:
    files = code_files(Transform(("sh", "run.sh", "edges.py")), folder)
    first = code_digests(files)
    (folder / "run.sh").chmod(0o755)
    second = code_digests(files)
    (folder / "edges.py").write_text("other")
    third = code_digests(files)
    assert first["run.sh"] != second["run.sh"] == third["run.sh"]
    assert first["edges.py"] == second["edges.py"] != third["edges.py"]


@given(st.text(alphabet="ab \t\r\n#'\"\\é", max_size=20))
def test_words_are_those_of_a_shell(line: str) -> None:
    try:
        expected = shlex.split(line, comments=True)
    except ValueError:
        expected = line.split()
    assert words_of(line) == expected


@pytest.mark.parametrize("text", ["q" * 40_000_000, "'q'" * 100_000, '"' * 300_001, "q " * 300_000], ids=len)
def test_a_very_long_text_costs_no_more_than_its_length(folder: Path, text: str) -> None:
    """With what is quadratic in it, the longest does not come to an end in hours."""
    transform = Transform(("md5sum",), stdin=(f"sh run.sh {text}",))
    assert set(code_files(transform, folder)) == {"run.sh"}
