"""Chunk rows in runs: the files, merging, freezing beside others, and what an index finds whatever is where."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import IndexDamagedError, StorageError, StorageFullError
from pfs.packs import freeze as freezing
from pfs.packs.freeze import MERGED, merge
from pfs.packs.frozen import Rows, Run, halves, keys_of, write_run
from pfs.packs.index import Index
from pfs.packs.index_chunks import RunGoneError, layout_of
from pfs.packs.index_condemned import SEALED
from pfs.packs.index_rows import LOCATIONS
from tests.pfs.test_index import UUID, chunks, id_of

Model = dict[bytes, tuple[int, int, int]]
KEYS = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.tuples(st.sampled_from([bytes(8), b"\xff" * 8, b"abcdefgh"]), st.integers(0, 3)).map(
        lambda pair: pair[0] + pair[1].to_bytes(8, "big")
    ),
)
MODELS = st.dictionaries(KEYS, st.tuples(*[st.integers(0, (1 << 32) - 1)] * 3), max_size=40)


def rows_of(model: Model) -> Rows:
    keys = sorted(model)
    return Rows(*halves(keys), np.array([model[key] for key in keys], LOCATIONS).reshape(-1))


def found_in(run: Run, keys: Sequence[bytes]) -> Model:
    places = run.find(*halves(keys)) if keys else []
    return {key: run.rows.values[at].item() for key, at in zip(keys, places, strict=True) if at >= 0}


@given(model=MODELS, others=st.lists(KEYS, max_size=20))
@settings(deadline=None)
def test_a_run_is_a_dict(tmp_path_factory: pytest.TempPathFactory, model: Model, others: list[bytes]) -> None:
    file = tmp_path_factory.mktemp("run") / "x.run"
    rows = rows_of(model)
    assert write_run(file, [rows.part(slice(0, 5)), rows.part(slice(5, None))]) == len(model)
    run = Run(file)
    wanted = sorted({*model, *others})
    assert found_in(run, wanted) == model
    random.Random(1).shuffle(wanted)
    assert found_in(run, wanted) == model
    assert keys_of(run.rows) == sorted(model)
    for key in wanted:
        value = run.get(int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big"))
        assert value == (np.array([model[key]], LOCATIONS).tobytes() if key in model else None)
    numbers = [value[0] for value in model.values()]
    assert dict(run.counts.tolist()) == {number: numbers.count(number) for number in numbers}


@given(models=st.lists(MODELS, max_size=6), piece=st.integers(1, 5))
@settings(deadline=None)
def test_merging_keeps_the_row_of_the_first_run(models: list[Model], piece: int) -> None:
    freezing._ROWS, kept = piece, freezing._ROWS
    try:
        pieces = list(merge([rows_of(model) for model in models]))
    finally:
        freezing._ROWS = kept
    wanted: Model = {}
    for model in reversed(models):
        wanted |= model
    keys = [key for rows in pieces for key in keys_of(rows)]
    assert keys == sorted(wanted)
    values = [value for rows in pieces for value in rows.values.tolist()]
    assert dict(zip(keys, values, strict=True)) == wanted


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.run"
    with pytest.raises(RunGoneError):
        Run(file)
    write_run(file, [rows_of({bytes(16): (1, 2, 3)})])
    whole = file.read_bytes()
    for data in (b"", whole[:30], whole[:-1], whole + b"x", b"X" + whole[1:], whole[:4] + b"\2" + whole[5:]):
        file.write_bytes(data)
        with pytest.raises(IndexDamagedError, match="run"):
            Run(file)


# The index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index.open(tmp_path / "index", store_uuid=UUID, freeze_at=4)
    yield opened
    opened.close()


def runs(index: Index) -> int:
    return len(index._env.read(layout_of).runs)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 30), max_size=8)),
        st.tuples(st.just("refill"), st.integers(0, 20)),
        st.tuples(st.just("drop"), st.lists(st.integers(0, 30), max_size=4)),
        st.tuples(st.just("condemn"), st.lists(st.integers(1, 20), max_size=3)),
        st.tuples(st.just("go"), st.integers(1, 20)),
        st.tuples(st.just("compact"), st.just(0)),
        st.tuples(st.just("open"), st.just(0)),
    ),
    max_size=25,
)


@given(operations=OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_frozen_rows_are_found_as_if_they_were_in_lmdb(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, object]]
) -> None:
    """What the plain index finds, the other finds too.

    Beyond that it may know an older whole copy of what lay in a deleted pack; the plain one forgot that when the newer
    row came, and finds it by `refill`.
    """
    home = tmp_path_factory.mktemp("index")
    plain = Index.open(home / "plain", store_uuid=UUID)
    other = Index.open(home / "frozen", store_uuid=UUID, freeze_at=4)
    packs, gen, wanted = [], 0, [id_of(number) for number in range(31)]
    dropped: set[bytes] = set()
    for what, argument in operations:
        if what == "add":
            pack = chunks(*(id_of(id) for id in dict.fromkeys(argument)), number=len(packs) + 1)  # type: ignore[call-overload]
            packs.append(pack)
            dropped -= {id_of(id) for id in argument}  # type: ignore[attr-defined]
            for one in (plain, other):
                one.add([pack])
        elif what == "refill" and packs:
            pack = packs[argument % len(packs)]  # type: ignore[operator]
            dropped -= {entry["id"].tobytes() for entry in pack.entries}
            for one in (plain, other):
                one.refill([pack])
        elif what == "drop":
            ids = [id_of(id) for id in argument]  # type: ignore[attr-defined]
            rows = [(id, place) for id, place in zip(ids, plain.find(ids), strict=True) if place is not None]
            dropped |= {id for id, _ in rows}
            for one in (plain, other):
                one.drop(rows)
        elif what == "condemn":
            gen += 1
            listed = {gen: [packs[number % len(packs)].pack_id for number in argument] if packs else []}  # type: ignore[attr-defined]
            for one in (plain, other):
                one.condemn(listed, gen=gen, kept=64)
        elif what == "go" and packs:
            pack = packs[argument % len(packs)]  # type: ignore[operator]
            for one in (plain, other):
                if one.mark_gone(pack.pack_id):
                    one.forget([entry["id"].tobytes() for entry in pack.entries], {pack.pack_id})
        elif what == "compact":
            other.compact(at=1)
        elif what == "open":
            other.close()
            other = Index.open(home / "frozen", store_uuid=UUID, freeze_at=4)
        for to_keep in (False, True):
            for id, one, two in zip(
                wanted, plain.find(wanted, to_keep=to_keep), other.find(wanted, to_keep=to_keep), strict=True
            ):
                if one is not None or two is None:
                    assert one == two
                else:
                    assert id not in dropped
                    pack = packs[two.pack_no - 1]
                    assert id in [entry["id"].tobytes() for entry in pack.entries]
                    assert other.state(two.pack_no) == SEALED or not to_keep
        assert [other.find([id])[0] for id in wanted] == other.find(wanted)
        columns = other.find_columns(np.frombuffer(b"".join(wanted), np.uint8).reshape(-1, 32))
        kept = other.find(wanted, to_keep=True)
        assert columns.pack_no.tolist() == [-1 if place is None else place.pack_no for place in kept]
        known = {pack.pack_id for pack in packs}
        found = other.rows_of(known)
        assert all(
            row in found[pack] for pack, rows in plain.rows_of(known).items() for row in rows if _lives(plain, row)
        )
    plain.close()
    other.close()


def _lives(index: Index, row: tuple[bytes, object]) -> bool:
    return index.find([row[0]]) == [row[1]]


def test_runs_are_merged_and_old_files_removed(index: Index, tmp_path: Path) -> None:
    for number in range(1, 60):
        index.add([chunks(*(id_of(number * 4 + n) for n in range(4)), number=number)])
        assert runs(index) < 4 * MERGED
    files = list((tmp_path / "index" / "frozen").iterdir())
    assert len(files) == runs(index)
    assert None not in index.find([id_of(number) for number in range(4, 240)])
    assert index.stats().rows == 236


def test_a_frozen_row_takes_28_bytes(index: Index, tmp_path: Path) -> None:
    index.add([chunks(*(id_of(number * 7919) for number in range(50_000)))])
    (file,) = (tmp_path / "index" / "frozen").iterdir()
    assert file.stat().st_size < 50_000 * 28 + 100


def test_rows_of_packs_that_are_gone_are_left_out_when_they_are_many(index: Index) -> None:
    packs = [chunks(*(id_of(10 * number + n) for n in range(8)), number=number) for number in range(1, 4)]
    index.add(packs)
    index.condemn({1: [packs[0].pack_id]}, gen=1, kept=64)
    index.mark_gone(packs[0].pack_id)
    index.forget([entry["id"].tobytes() for entry in packs[0].entries], {packs[0].pack_id})
    assert index.find([id_of(10), id_of(20)])[0] is None
    assert index.stats().rows == 24
    assert index.compact()
    assert index.stats().rows == 16
    assert not index.compact()
    assert None not in index.find([id_of(20), id_of(30)])


def test_an_older_release_refuses_it_and_this_one_reads_both(index: Index) -> None:
    assert index.get_meta("schema") == b"1"
    index.add([chunks(id_of(1))])
    assert index.get_meta("schema") == b"1"
    index.add([chunks(*(id_of(number) for number in range(9)), number=2)])
    assert index.get_meta("schema") == b"2"


@pytest.mark.parametrize("step", ["before", "run", "settle"])
def test_freezing_that_fails_or_dies_loses_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise StorageFullError("write", "injected")

    packs = [chunks(*(id_of(10 * number + n) for n in range(8)), number=number) for number in range(1, 7)]
    index.add(packs[:1])
    with monkeypatch.context() as patch:
        if step == "before":
            patch.setattr(freezing, "_set_aside", fail)
        elif step == "run":
            patch.setattr(freezing, "write_run", fail)
        else:
            patch.setattr(freezing, "put_layout", _second_fails(freezing.put_layout))
        index.add(packs[1:2])  # the rows are in, whatever becomes of freezing
        index.add(packs[2:3])
        wanted = [id_of(10 * number + n) for number in range(1, 4) for n in range(8)]
        assert None not in index.find(wanted)
        row = index.find(wanted[8:9])
        index.drop([(wanted[8], row[0])])  # type: ignore[list-item]
        assert index.find(wanted[8:9]) == [None]
    index.add(packs[3:])
    assert index.find(wanted[8:9]) == [None]
    assert None not in index.find([*wanted[:8], *wanted[9:]])
    assert len(list((tmp_path / "index" / "frozen").iterdir())) == runs(index)


def _second_fails(put):  # type: ignore[no-untyped-def]
    def work(txn: object, layout: object) -> None:
        put(txn, layout)
        if not layout.pending:  # type: ignore[attr-defined]
            raise StorageError("write", "injected")

    return work


KILLED = """
import os, signal, sys
from pathlib import Path
from pfs.packs import freeze
from pfs.packs.index import Index
from tests.pfs.test_index import chunks, id_of
step, write, settle = sys.argv[2], freeze.write_run, freeze.put_layout
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def write_and_die(*given): write(*given); die()
if step == "run": freeze.write_run = die
if step == "written": freeze.write_run = write_and_die
if step == "settle": freeze.put_layout = lambda txn, layout: die() if not layout.pending else settle(txn, layout)
index = Index.open(Path(sys.argv[1]), store_uuid="store-1", freeze_at=4)
index.add([chunks(*(id_of(20 + n) for n in range(8)), number=2)])
"""


@pytest.mark.parametrize("step", ["run", "written", "settle"])
def test_freezing_that_is_killed_loses_nothing(index: Index, tmp_path: Path, step: str) -> None:
    index.add([chunks(*(id_of(10 + n) for n in range(8)), number=1)])
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "index"), step], check=False)
    assert done.returncode == -9
    wanted = [id_of(number) for number in [*range(10, 18), *range(20, 28)]]
    assert None not in index.find(wanted)
    index.add([chunks(id_of(1), number=3)])
    index.compact(at=1)
    assert None not in index.find([*wanted, id_of(1)])
    assert len(list((tmp_path / "index" / "frozen").iterdir())) == runs(index)


WRITER = """
import sys
from pathlib import Path
from pfs.packs.index import Index
from tests.pfs.test_index import chunks, id_of
index = Index.open(Path(sys.argv[1]), store_uuid="store-1", freeze_at=40)
start = int(sys.argv[2])
for number in range(start, start + 30):
    index.add([chunks(*(id_of(number * 20 + n) for n in range(20)), number=number)])
"""


def test_processes_freeze_and_merge_beside_readers(index: Index, tmp_path: Path) -> None:
    index.add([chunks(*(id_of(n) for n in range(20)), number=999)])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "index"), str(start)], env=dict(os.environ))
        for start in (1, 31)
    ]
    over = threading.Event()

    def read() -> int:
        seen = 0
        while not over.is_set():
            found = sum(place is not None for place in index.find([id_of(number * 20) for number in range(61)]))
            assert found >= seen, "what was there stays there"
            seen = found
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        codes = [writer.wait() for writer in writers]
        over.set()
        assert [reader.result() <= 61 for reader in readers] == [True, True]
    assert codes == [0, 0]
    assert None not in index.find([id_of(number) for number in range(61 * 20)])


def test_a_run_that_is_lost_is_told(index: Index, tmp_path: Path) -> None:
    index.add([chunks(*(id_of(n) for n in range(20)))])
    index.close()
    for file in (tmp_path / "index" / "frozen").iterdir():
        file.unlink()
    again = Index.open(tmp_path / "index", store_uuid=UUID)
    for work in (lambda: again.find([id_of(1)]), lambda: again.add([chunks(id_of(77), number=9)]), again.stats):
        with pytest.raises(IndexDamagedError, match="missing"):
            work()  # type: ignore[operator]
    again.close()


def test_a_store_says_in_its_config_when_rows_are_frozen(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    config = tmp_path / ".pfs" / "config.json"
    config.write_text(config.read_text().replace("{", '{"index_rows": 10,', 1))
    with pfs.open(tmp_path) as store:
        repo = store.create_repo("data")
        for number in range(12):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", b"%d" % number)
    assert list((tmp_path / ".pfs" / "index.lmdb" / "frozen").iterdir())
    with pfs.open(tmp_path) as store:
        assert [store.repo("data")["master"].read(f"/{number}") for number in range(12)] == [
            b"%d" % n for n in range(12)
        ]
