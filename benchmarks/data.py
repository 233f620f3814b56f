"""Data to store, the same for a seed on every machine.

Incompressible bytes, CSV with the repetition that logs have, folders of small files, and changed versions of them.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MIB = 1 << 20
_PIECE = 8 * MIB
DIRECTORIES = 200
_WORDS = """
    connection timeout while reading upstream response header from client server request host user session token refresh
    expired retry queue worker started finished cache miss evicted page order payment shipped returned stock warehouse
    customer update index rebuilt replica lagging leader elected
""".split()  # noqa: SIM905
_METHODS, _CODES = ("GET", "GET", "GET", "POST", "PUT", "DELETE"), (200, 200, 200, 201, 204, 301, 404, 500)


def noise_file(place: Path, size: int, *, seed: int) -> None:
    """Write ``size`` bytes that do not compress."""
    chance = np.random.default_rng(seed)
    with place.open("wb", buffering=0) as out:
        for start in range(0, size, _PIECE):
            out.write(chance.bytes(min(_PIECE, size - start)))


def csv_file(place: Path, size: int, *, seed: int) -> None:
    """Write ``size`` bytes of a log as CSV: ascending times, names from skewed distributions, numbers, free text."""
    with place.open("wb", buffering=0) as out:
        left = size
        for block in _csv_blocks(seed):
            out.write(block[:left])
            left -= len(block)
            if left <= 0:
                return


def _csv_blocks(seed: int) -> Iterator[bytes]:
    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    stamp = 1_700_000_000_000
    users = [f"user{chance.randrange(10**6):06}@{chance.choice(('example', 'mail', 'corp'))}.org" for _ in range(5000)]
    paths = [f"/api/v{chance.randrange(1, 4)}/{chance.choice(_WORDS)}/{chance.randrange(10**4)}" for _ in range(2000)]
    while True:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        steps = numbers.integers(0, 50, 8192)
        who = numbers.zipf(1.3, 8192) % len(users)
        where = numbers.zipf(1.2, 8192) % len(paths)
        took = numbers.lognormal(3, 1, 8192)
        sent = numbers.integers(100, 100_000, 8192)
        for at in range(8192):
            stamp += int(steps[at])
            words = " ".join(chance.choices(_WORDS, k=6))
            first = (stamp, users[who[at]], chance.choice(_METHODS), paths[where[at]], chance.choice(_CODES))
            lines.writerow((*first, f"{took[at]:.3f}", sent[at], words))
        yield text.getvalue().encode()


def small_files(place: Path, count: int, *, seed: int) -> None:
    """Write ``count`` files of 1 to 20 KiB in 200 directories: every second one text, the others incompressible."""
    chance = np.random.default_rng(seed)
    sizes = chance.integers(1024, 20 * 1024 + 1, count)
    text = b"".join(block for block, _ in zip(_csv_blocks(seed), range(16), strict=False))
    for number, size in enumerate(sizes.tolist()):
        if number % 2:
            data = chance.bytes(size)
        else:
            start = int(chance.integers(0, len(text) - size))
            data = text[start : start + size]
        file = small_file(place, number, count)
        if number == 0 or file.parent != small_file(place, number - 1, count).parent:
            file.parent.mkdir(parents=True)
        file.write_bytes(data)


def small_file(place: Path, number: int, count: int) -> Path:
    """Return where file ``number`` of ``count`` is."""
    per_directory = -(-count // DIRECTORIES)
    return place / f"d{number // per_directory:03}" / f"f{number:07}"


def changed_copy(source: Path, target: Path, *, insertions: int, seed: int) -> int:
    """Copy a file with 1 % of its bytes changed, in places of 1 MiB, and with insertions of 1 to 999 bytes.

    All places are apart from each other by chance alone. In the many places of a finer change everybody stores more of
    what is new: these are such that restic stores 8 and borg 15 times as much. Returns how many bytes are new.
    """
    chance, size = np.random.default_rng(seed), source.stat().st_size
    changes = max(round(size / 100 / MIB), 1)
    length = size // 100 // changes
    spots = sorted(
        (int(at), number < changes) for number, at in enumerate(chance.integers(0, size, changes + insertions))
    )
    new = done = 0
    with source.open("rb") as stream, target.open("wb") as out:
        for at, is_change in spots:
            if at > done:
                _copy(stream, out, at - done)
                done = at
            data = chance.bytes(min(length, size - done) if is_change else int(chance.integers(1, 1000)))
            new += out.write(data)
            if is_change:
                done += len(data)
                stream.seek(done)
        shutil.copyfileobj(stream, out, _PIECE)
    return new


def _copy(stream: io.BufferedReader, out: io.BufferedWriter, size: int) -> None:
    while size:
        piece = stream.read(min(size, _PIECE))
        out.write(piece)
        size -= len(piece)


def flip_small(place: Path, numbers: range, count: int, *, mask: int) -> None:
    """Flip the bits of ``mask`` in one byte of each of these files; done twice, they are as before but for the time."""
    for number in numbers:
        with small_file(place, number, count).open("r+b") as stream:
            stream.seek(500)
            old = stream.read(1)[0]
            stream.seek(500)
            stream.write(bytes([old ^ mask]))
