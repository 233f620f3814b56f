from __future__ import annotations

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from pps.sandbox.running import Stream
from pps.workers.log_follower import Follower
from pps.workers.logs import AGAIN, LINE_BYTES, Line, LogWriter, parse


def writer(path: Path, *, head: int = 1 << 20, tail: int = 4 << 20) -> LogWriter:
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000)
    return LogWriter(path, clock=lambda: next(ticks), head=head, tail=tail)


def test_golden(tmp_path: Path) -> None:
    log = writer(tmp_path / "job" / "d.log")
    log.write("out", b"hello\nwor")
    log.write("err", b"oh\xff\n")
    log.write("out", b"ld\n\npart")
    log.note("attempt 1 of 3: failed")
    path = log.finish()
    assert path == tmp_path / "job" / "d.log"
    assert path.read_bytes() == (
        b"2023-11-14T22:13:20.000Z O hello\n"
        b"2023-11-14T22:13:20.001Z E oh\xff\n"
        b"2023-11-14T22:13:20.002Z O world\n"
        b"2023-11-14T22:13:20.002Z O \n"
        b"2023-11-14T22:13:20.003Z o part\n"
        b"2023-11-14T22:13:20.004Z S attempt 1 of 3: failed\n"
    )
    assert next(parse(path.read_bytes())) == Line("2023-11-14T22:13:20.000Z", "O", "hello")


def test_nothing_written_leaves_no_file(tmp_path: Path) -> None:
    log = writer(tmp_path / "d.log")
    log.write("out", b"")
    assert log.finish() is None
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_there_is_the_beginning_of_the_next_one(tmp_path: Path) -> None:
    first, second = writer(tmp_path / "d.log"), writer(tmp_path / "d.log")
    first.write("out", b"one\nha")
    with Follower(tmp_path / "d.log") as follower:
        told = follower.read()
        second.write("err", b"two\n")
        first.write("out", b"lf\n")  # its command is still being ended
        follower.pause()
        told += follower.read()
    second.finish()
    first.finish()
    texts = [(line.tag, line.text) for line in parse((tmp_path / "d.log").read_bytes())]
    assert texts == [("O", "one"), ("S", AGAIN), ("E", "two")]
    assert [(line.tag, line.text) for line in parse(told)] == texts, "who follows reads on"
    assert second.tail == "two\n", "the reason of an end is in its own run"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=2, max_size=5))
def test_any_number_of_runs_stays_within_the_bounds(counts: list[int]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "d.log"
        for run, count in enumerate(counts):
            log = writer(path, head=2_000, tail=8_000)
            log.note(f"run {run}")
            for number in range(count):
                log.write("out", b"line %d of %d\n" % (number, run))
            whole = log.finish()
        assert whole is not None
        texts = [line.text for line in parse(whole.read_bytes())]
        assert texts[0] == "run 0"
        assert sum(file.stat().st_size for file in Path(folder).iterdir() if file != whole) <= 10_000 + 200
        assert texts[-1] == (f"line {counts[-1] - 1} of {len(counts) - 1}" if counts[-1] else f"run {len(counts) - 1}")
        if sum(counts) < 40:
            assert texts.count(AGAIN) == len(counts) - 1
            assert [text for text in texts if text.startswith("line")] == [
                f"line {number} of {run}" for run, count in enumerate(counts) for number in range(count)
            ]


def test_flood_is_bounded_and_keeps_both_ends(tmp_path: Path) -> None:
    log = writer(tmp_path / "d.log", head=10_000, tail=40_000)
    for number in range(20_000):
        log.write("out", b"line %d\n" % number)
        if number % 1000 == 0:
            assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 50_000 + 200
    path = log.finish()
    assert path is not None
    data = path.read_bytes()
    assert len(data) <= 50_000 + 200
    texts = [line.text for line in parse(data)]
    note = next(text for text in texts if "left out" in text)
    assert texts[0] == "line 0"
    assert texts[-1] == "line 19999"
    dropped = int(note.split()[0])
    first_after = texts[texts.index(note) + 1]
    last_before = texts[texts.index(note) - 1]
    missing = range(int(last_before.split()[1]) + 1, int(first_after.split()[1]))
    assert dropped == sum(len(f"line {number}\n") for number in missing)


def test_endless_line_without_newline_is_bounded(tmp_path: Path) -> None:
    log = writer(tmp_path / "d.log", head=100_000, tail=100_000)
    for _ in range(100):
        log.write("err", b"x" * 65_536)
    path = log.finish()
    assert path is not None
    assert path.stat().st_size < 250_000
    assert {line.tag for line in parse(path.read_bytes())} == {"e", "S"}


def test_tail_has_the_last_words_without_times(tmp_path: Path) -> None:
    log = writer(tmp_path / "d.log")
    for number in range(5000):
        log.write("out", b"%d\n" % number)
    log.write("err", b"Traceback: boom")
    tail = log.tail
    log.finish()
    assert len(tail.encode()) <= 4096
    assert tail.endswith("4998\n4999\nTraceback: boom")
    assert tail.splitlines()[0] == str(5000 - len(tail.splitlines()) + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["out", "err"]),
            st.one_of(st.binary(max_size=40), st.sampled_from([b"a\n" * 50, b"y" * (LINE_BYTES + 5), b"\n\n"])),
        ),
        max_size=30,
    )
)
def test_streams_can_be_put_together_again(writes: list[tuple[Stream, bytes]]) -> None:

    with TemporaryDirectory() as folder:
        log = writer(Path(folder) / "d.log")
        for stream, data in writes:
            log.write(stream, data)
        path = log.finish()
        raw = path.read_bytes() if path else b""
    again = {"O": b"", "E": b""}
    for line in raw.split(b"\n")[:-1]:
        _time, tag, text = line.split(b" ", 2)
        again[tag.decode().upper()] += text + (b"\n" if tag.isupper() else b"")
    for stream, name_of in (("out", "O"), ("err", "E")):
        assert again[name_of] == b"".join(data for name, data in writes if name == stream)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 5))
def test_follower_sees_all_that_is_kept_in_order(counts: list[int], every: int) -> None:

    with TemporaryDirectory() as folder:
        path = Path(folder) / "d.log"
        log = writer(path, head=500, tail=1 << 20)
        seen, number = b"", 0
        with Follower(path) as follower:
            assert follower.read() == b""
            for turn, count in enumerate(counts):
                log.write("out", b"".join(b"line %d\n" % (number + n) for n in range(count)))
                number += count
                if turn % every == 0:
                    seen += follower.read()
            log.finish()
            while more := follower.read():
                seen += more
    assert [line.text for line in parse(seen)] == [f"line {n}" for n in range(number)]


def test_follower_that_is_too_slow_loses_only_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "d.log"
    log = writer(path, head=1000, tail=4000)
    with Follower(path) as follower:
        log.write("out", b"first\n")
        seen = follower.read()
        for number in range(5000):
            log.write("out", b"line %d\n" % number)
        log.finish()
        while more := follower.read():
            seen += more
    texts = [line.text for line in parse(seen)]
    assert texts[0] == "first"
    assert texts[-1] == "line 4999"
    numbers = [int(text.split()[1]) for text in texts[1:]]
    assert numbers == sorted(set(numbers))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([b"x\n", b"\n", b"long line\n" * 30, b"no end", b"y" * 3 * LINE_BYTES]), min_size=20))
def test_what_is_left_out_is_counted_as_it_was_said(pieces: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        log = writer(Path(name) / "d.log", head=300, tail=600)
        for piece in pieces:
            log.write("out", piece)
        log.note("end")
        path = log.finish()
        assert path is not None
        kept = dropped = 0
        for line in parse(path.read_bytes()):
            if line.tag == "S":
                dropped += int(line.text.split()[0]) if "left out" in line.text else 0
            else:
                kept += len(line.text) + line.tag.isupper()
        assert kept + dropped == sum(map(len, pieces))
