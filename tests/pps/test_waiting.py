"""What datums left, packed until it is put into a tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pfs.files.fileref import FileRef
from pfs.ids import CommitId, TreeId
from pfs.trees.edit import DeleteTree, Edit, Put
from pfs.trees.page import Kind
from pps.executor import OutputFile
from pps.scheduling import waiting
from pps.scheduling.waiting import Waiting

JOB = CommitId("0" * 32)

_refs = st.builds(
    FileRef,
    st.sampled_from([Kind.FILE, Kind.CHUNKED]),
    st.integers(0, 2**62),
    st.binary(min_size=32, max_size=32).map(TreeId),
)
_aux = st.none() | st.dictionaries(
    st.text(min_size=1, max_size=5), st.text(max_size=5) | st.binary(max_size=5), min_size=1
)
_outputs = st.lists(st.builds(OutputFile, st.binary(min_size=1, max_size=9), _refs, st.just(False), _aux), max_size=3)
_left = st.tuples(st.none() | _refs, st.none() | _outputs)


@given(st.dictionaries(st.binary(min_size=32, max_size=32).map(bytes.hex), _left, max_size=6), st.integers(1, 9))
def test_all_comes_back_in_order_and_no_datum_is_torn(
    left: dict[str, tuple[FileRef | None, list[OutputFile] | None]], most: int
) -> None:
    held = Waiting(JOB)
    expected: list[list[Edit]] = []
    for datum, (log, outputs) in left.items():
        held.add(datum, log=log, outputs=outputs)
    for datum, (log, outputs) in sorted(left.items()):
        edits: list[Edit] = []
        if log is not None:
            edits.append(Put(f"logs/{JOB}/{datum}".encode(), log.kind, log.size, log.tid))
        if outputs is not None:
            folder = f"out/{datum}".encode()
            edits.append(DeleteTree(folder))
            edits += [Put(folder + b"/" + one.key, one.ref.kind, one.ref.size, one.ref.tid, one.aux) for one in outputs]
        expected += [edits] if edits else []
    parts = list(held.parts(most))
    assert [one for part in parts for one in part] == [one for edits in expected for one in edits]
    assert all(len(part) < most + max(map(len, expected)) for part in parts)
    held.clear()
    assert list(held.parts(most)) == []


def test_the_later_of_one_datum_comes_later_and_executables_are_marked() -> None:
    held, datum = Waiting(JOB), "ab" * 32
    for size in (1, 2):
        held.add(datum, outputs=[OutputFile(b"f", FileRef(Kind.FILE, size, TreeId(bytes(32))), True)])
    (part,) = held.parts(100)
    assert [(one.size, one.aux) for one in part if isinstance(one, Put)] == [(1, {"x": True}), (2, {"x": True})]


def test_it_is_full_by_bytes_not_by_datums() -> None:
    held = Waiting(JOB)
    size = waiting.MOST_BYTES // 2
    for number in range(2):
        assert not held.is_full
        file = OutputFile(b"f" * size, FileRef(Kind.FILE, 1, TreeId(bytes(32))), False)
        held.add(bytes([number] * 32).hex(), outputs=[file])
    assert held.is_full
