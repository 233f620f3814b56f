"""What a datum's command wrote, kept within bounds, line by line with time and stream.

A line is ``<UTC time, milliseconds> <tag> <text>``; the tag is ``O`` (stdout), ``E`` (stderr) or ``S`` (a word of pps
itself, such as the start of an attempt); small ``o`` and ``e`` mark a piece that the next line of that stream
continues: a very long line, or one that was never ended. The first `HEAD_BYTES` and the last `TAIL_BYTES` are kept;
what is lost between is told by one S line.

On disk that is ``<name>.log`` (the head) and, once that is full, ``<name>.log.1``, ``.2``, … of which the latest two
are kept: files that only grow, so that `log_follower.Follower` can read along. `LogWriter.finish` puts them together.

A log that is there already, of a datum that runs again, is the beginning of the new one, with an S line between. It is
written anew, so that whoever still writes the old one, as its command is just being ended, writes where nobody looks.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pps.sandbox.running import Stream
from pps.workers.mask import Mask, StreamMask

HEAD_BYTES = 1 << 20
TAIL_BYTES = 4 << 20
LINE_BYTES = 16 * 1024
"""A longer line is cut into pieces of this size."""
TAIL_TEXT_BYTES = 4096
AGAIN = "it was begun again: what follows is of the new run"
_TAGS: dict[Stream, bytes] = {"out": b"O", "err": b"E"}
Clock = Callable[[], int]


def log_path(log_dir: Path, pipeline: str, job: str, *, datum: str) -> Path:
    """Return where an executor with ``log_dir`` writes the log of a datum while it runs."""
    return _folder(log_dir, pipeline, job) / f"{datum}.log"


@lru_cache(maxsize=16)
def _folder(log_dir: Path, pipeline: str, job: str) -> Path:
    return log_dir / pipeline / job


class Line(NamedTuple):
    """One line: ``time`` as written (RFC 3339, UTC), ``tag`` as above, ``text`` without its newline."""

    time: str
    tag: str
    text: str


class LogWriter:
    """Takes the output of one datum. One thread at a time; memory is a few KiB, disk at most head and tail."""

    def __init__(
        self, path: Path, *, clock: Clock = time.time_ns, head: int = HEAD_BYTES, tail: int = TAIL_BYTES
    ) -> None:
        self.path = path
        self._clock = clock
        self._head, self._piece = head, max(tail // 2, 1)
        self._file: BinaryIO | None = None
        self._number, self._size = 0, 0
        self._said: dict[int, int] = {}
        self._dropped = 0
        self._open: dict[Stream, bytes] = {"out": b"", "err": b""}
        self._tail = b""
        self._masks: dict[Stream, StreamMask] = {}
        self.error: OSError | None = None
        """Why nothing could be written any more, if that happened: the log then ends there."""

    def hide(self, mask: Mask) -> None:
        """From now on hide the values of ``mask`` in what comes on each stream."""
        self._end_lines()
        self._masks = {stream: StreamMask(mask) for stream in _TAGS} if mask else {}

    def write(self, stream: Stream, data: bytes) -> None:
        """Take what came on a stream; whole lines are written at once, the rest waits for its newline."""
        self._take(stream, self._masks[stream].take(data) if self._masks else data)

    def _take(self, stream: Stream, data: bytes) -> None:
        whole, newline, rest = (self._open[stream] + data).rpartition(b"\n")
        tag = _TAGS[stream]
        if newline and max(map(len, whole.split(b"\n"))) <= LINE_BYTES:
            self._add_lines(whole, tag)
        elif newline:
            self._add([piece for line in whole.split(b"\n") for piece in _cut(line, tag)])
        keep_from = len(rest) // LINE_BYTES * LINE_BYTES
        self._add([(tag.lower(), rest[at : at + LINE_BYTES]) for at in range(0, keep_from, LINE_BYTES)])
        self._open[stream] = rest[keep_from:]

    def note(self, text: str) -> None:
        """Add a word of pps itself."""
        self._end_lines()
        self._add([(b"S", text.encode(errors="backslashreplace"))])

    @property
    def tail(self) -> str:
        """The end of what the command wrote, at most 4 KiB, without times; from the start of a line if it was cut."""
        held = {stream: mask.held for stream, mask in self._masks.items()}
        text = b"".join([self._tail, *(self._open[stream] + held.get(stream, b"") for stream in _TAGS)])
        if len(text) > TAIL_TEXT_BYTES:
            text = text[-TAIL_TEXT_BYTES:]
            text = text.partition(b"\n")[2] or text
        return text.decode(errors="replace")

    def finish(self) -> Path | None:
        """End it and return the path of the whole, None if nothing was written.

        The whole is the log's own file if it was short, else a file beside it, ``<name>.log.whole``, which the caller
        may remove; the pieces stay for who follows. Where the disk takes no more, it is what was written before.
        """
        self._end_lines()
        if self._file is None:
            return None
        self._file.close()
        try:
            return self._join() if self._number else self.path
        except OSError as error:
            self.error = self.error or error
            return self.path

    def _end_lines(self) -> None:
        for stream, mask in self._masks.items():
            self._take(stream, mask.end())
        for stream, rest in self._open.items():
            if rest:
                self._add([(_TAGS[stream].lower(), rest)])
                self._open[stream] = b""

    def _add_lines(self, lines: bytes, tag: bytes) -> None:
        """Add whole lines, the last without its newline; a flood of short ones is stamped without a loop."""
        start = b"%s %s " % (_stamp(self._clock()), tag)
        self._tail = (self._tail + lines[-2 * TAIL_TEXT_BYTES :] + b"\n")[-2 * TAIL_TEXT_BYTES :]
        self._write(start + lines.replace(b"\n", b"\n" + start) + b"\n", ours=len(start))

    def _add(self, pieces: list[tuple[bytes, bytes]]) -> None:
        if not pieces:
            return
        stamp = _stamp(self._clock())
        for tag, text in pieces:
            said = b"" if tag == b"S" else text + (b"\n" if tag.isupper() else b"")
            self._tail = (self._tail + said)[-2 * TAIL_TEXT_BYTES :]
            line = b"%s %s %s\n" % (stamp, tag, text)
            self._write(line, ours=len(line) - len(said))

    def _write(self, block: bytes, *, ours: int) -> None:
        """Write lines, of each of which so many bytes are not the command's.

        A disk that is full must not end the command, so the error is kept for who asks.
        """
        try:
            while block and self.error is None:
                block = self._fill(block, ours=ours)
        except OSError as error:
            self.error = error

    def _fill(self, block: bytes, *, ours: int) -> bytes:
        """Write as many whole lines as the present piece takes, at least one; return the rest."""
        file = self._file or self._begin_anew()
        room = (self._piece if self._number else self._head) - self._size
        stop = len(block) if len(block) <= room else block.rfind(b"\n", 0, max(room, 0)) + 1
        if stop == 0 and self._size == 0:
            stop = block.find(b"\n") + 1
        left = memoryview(block)[:stop]
        while left:
            left = left[file.write(left) :]
        self._size += stop
        self._said[self._number] = self._said.get(self._number, 0) + stop - ours * block.count(b"\n", 0, stop)
        if stop < len(block):
            self._next_piece(file)
        return block[stop:]

    def _begin_anew(self) -> BinaryIO:
        """Make the file, and put what an earlier run left there in front."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._begin()
        except FileExistsError:
            earlier = self._take_earlier()
        file = self._begin()
        if earlier:
            stamp = b"%s S " % _stamp(self._clock())
            self._write(earlier + stamp + AGAIN.encode() + b"\n", ours=len(stamp))
        return self._file or file

    def _begin(self) -> BinaryIO:
        # Unbuffered: who follows sees each line, and a killed worker has lost none.
        self._file = self._piece_path(self._number).open("xb", buffering=0)
        self._size = 0
        return self._file

    def _take_earlier(self) -> bytes:
        """Remove the pieces of an earlier run, and return its log, whole lines only."""
        data, numbers = self.path.read_bytes(), list[int]()
        if len(data) > self._head - 2 * LINE_BYTES:  # else there are no others
            names = (entry.name.removeprefix(f"{self.path.name}.") for entry in os.scandir(self.path.parent))
            numbers = sorted(int(name) for name in names if name.isdigit())
        if numbers and numbers[0] > 1:
            data += b"%s S output of the earlier run is left out here\n" % _stamp(self._clock())
        for number in numbers:
            with suppress(FileNotFoundError):  # its writer may go on
                data += self._piece_path(number).read_bytes()
                self._piece_path(number).unlink()
        self.path.unlink(missing_ok=True)
        return data[: data.rfind(b"\n") + 1]

    def _next_piece(self, file: BinaryIO) -> None:
        file.close()
        self._number += 1
        if self._number > 2:
            old = self._piece_path(self._number - 2)
            self._dropped += self._said.pop(self._number - 2, 0)
            old.unlink()
        self._piece_path(self._number).unlink(missing_ok=True)
        self._begin()

    def _piece_path(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _join(self) -> Path:
        whole = self.path.with_name(f"{self.path.name}.whole")
        with whole.open("wb") as target:
            _append(self.path, target)
            if self._dropped:
                note = f"{self._dropped} bytes of output are left out here".encode()
                target.write(b"%s S %s\n" % (_stamp(self._clock()), note))
            for number in range(max(1, self._number - 1), self._number + 1):
                _append(self._piece_path(number), target)
        return whole


def _append(source: Path, target: BinaryIO) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, target)


def _cut(line: bytes, tag: bytes) -> list[tuple[bytes, bytes]]:
    """Return a whole line as pieces of at most `LINE_BYTES`; all but the last say that they go on."""
    stops = range(0, max(len(line) - 1, 0) // LINE_BYTES * LINE_BYTES, LINE_BYTES)
    pieces = [(tag.lower(), line[at : at + LINE_BYTES]) for at in stops]
    return [*pieces, (tag, line[len(pieces) * LINE_BYTES :])]


def log_time(time_ns: int) -> str:
    """Return ns since the epoch as lines have it: RFC 3339 in UTC, cut off to milliseconds; texts sort as times do."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def _stamp(time_ns: int) -> bytes:
    return log_time(time_ns).encode()


def parse(data: bytes) -> Iterator[Line]:
    """Yield the lines of a log; what is no line of a log (a cut end) is passed over."""
    for raw in data.split(b"\n"):
        parts = raw.split(b" ", 2)
        if len(parts) == 3 and len(parts[1]) == 1:
            yield Line(
                parts[0].decode("ascii", "replace"),
                parts[1].decode("ascii", "replace"),
                parts[2].decode("utf-8", "replace"),
            )
