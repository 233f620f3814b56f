"""Outputs of datums put together, against the plain definition: the union of what the datums have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import FailedError
from pfs.ids import TreeId, chunk_id
from pfs.trees.edit import Edit, Put, edit
from pfs.trees.page import Changed, Kind
from pfs.trees.row import EMPTY_ROOT, MemoryPages, Root
from pfs.trees.tree import Tree
from pps.scheduling.gather import Before, Way, gather

CHANGED = Changed(bytes(16), 1)
WAY = Way(CHANGED, "refuse", Path("/there-is-no-such-place"))
"""Nothing here is so much that it goes to a disk, unless a test says so."""
Outputs = dict[str, dict[str, str]]
"""datum -> path -> content."""


def tree_of(pages: MemoryPages, files: dict[str, str]) -> Root:
    puts: list[Edit] = [
        Put(path.encode(), Kind.FILE, len(text), TreeId(chunk_id(text.encode()))) for path, text in files.items()
    ]
    return edit(pages, EMPTY_ROOT, puts, changed=CHANGED, collisions="allow")


def meta_of(pages: MemoryPages, outputs: Outputs) -> Root:
    return tree_of(
        pages, {f"out/{datum}/{path}": text for datum, files in outputs.items() for path, text in files.items()}
    )


def union(outputs: Outputs) -> dict[str, str]:
    return {path: text for files in outputs.values() for path, text in files.items()}


def conflicts(outputs: Outputs) -> bool:
    paths = [path for files in outputs.values() for path in files]
    parents = {path[:at] for path in paths for at in range(len(path)) if path[at] == "/"}
    return len(set(paths)) != len(paths) or bool(parents & set(paths))


def gathered(pages: MemoryPages, old: Outputs, new: Outputs, way: Way = WAY) -> Root:
    before = Before(tree_of(pages, union(old)), meta_of(pages, old))
    return gather(pages, before, meta_of(pages, new), way)


_files = st.dictionaries(st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e/f"]), st.sampled_from("xyz"), max_size=3)
_outputs = st.dictionaries(st.sampled_from(["d1", "d2", "d3"]), _files, max_size=3)


@settings(max_examples=300, deadline=None)
@given(_outputs.filter(lambda outputs: not conflicts(outputs)), _outputs)
def test_gather_gives_the_union_or_says_who_is_in_the_way(old: Outputs, new: Outputs) -> None:
    pages = MemoryPages()
    if conflicts(new):
        with pytest.raises(FailedError, match=r"d\d"):
            gathered(pages, old, new)
    else:
        assert gathered(pages, old, new).tid == tree_of(pages, union(new)).tid


def test_what_does_not_fit_into_memory_gives_the_same_output(tmp_path: Path) -> None:
    """Every batch is a run of its own; datums come by their names, and their paths the other way round."""
    pages, way = MemoryPages(), WAY._replace(scratch=tmp_path / "spills", run_bytes=1)

    def outputs(count: int, text: str, shape: str) -> Outputs:
        return {f"d{number:06d}": {shape % (count - number): f"{text}{number % 7}"} for number in range(count)}

    old, new = outputs(5_000, "x", "a/%06d/f"), outputs(4_500, "y", "a/%06d")
    assert gathered(pages, {}, old, way).tid == tree_of(pages, union(old)).tid
    assert gathered(pages, old, new, way).tid == tree_of(pages, union(new)).tid
    assert list((tmp_path / "spills").iterdir()) == []
    new["d000003"] |= {"a/000004": "z"}
    with pytest.raises(FailedError, match="datums d000003 and d004496 both wrote /a/000004"):
        gathered(pages, old, new, way)


def test_messages_name_path_and_datums() -> None:
    pages = MemoryPages()
    with pytest.raises(FailedError, match="datums d1 and d2 both wrote /p/q: each path"):
        gathered(pages, {}, {"d1": {"p/q": "x"}, "d2": {"p/q": "x"}})
    with pytest.raises(FailedError, match="datums d1 and d2 both wrote /p"):
        gathered(pages, {"d1": {"p": "x"}}, {"d1": {"p": "x"}, "d2": {"p": "y"}})
    old: Outputs = {"d0": {"p/o": "z", "q": "z"}}
    for before, new in ({}, {}), ({}, {"d0": {"p/r": "z"}, "d3": {"p/s": "z"}}), (old, old):
        # However many datums have files below the path: two are named, and which of them wrote what.
        with pytest.raises(FailedError) as caught:
            gathered(pages, before, new | {"d1": {"p": "x"}, "d2": {"p/q": "y"}})
        said = str(caught.value)
        assert said.startswith("/p of datum d1 and /p/"), said
        assert said.endswith(" cannot both exist: a path is either a file or a directory"), said
        assert said.count("datum d") == 2, said


def test_files_of_no_datum_stay_and_are_not_overwritten() -> None:
    pages = MemoryPages()
    before = Before(tree_of(pages, {"mine": "x"}), EMPTY_ROOT)
    found = gather(pages, before, meta_of(pages, {"d1": {"p": "y"}}), WAY)
    assert [row.key for row in Tree(pages, found).walk()] == [b"mine", b"p"]
    with pytest.raises(FailedError, match="of no datum"):
        gather(pages, before, meta_of(pages, {"d1": {"mine": "y"}}), WAY)
