"""What `trees` measures, each in a process of its own: ``python -m benchmarks.tree_runs WHAT PLACE COUNT ANSWER``.

``stream`` (``of one``, ``of four``: in other folders) writes COUNT files as an Arrow stream of path, size and id;
``build`` makes a store of them; ``ask`` asks and changes that; ``git`` makes a repository of the same paths. What is
found goes to ANSWER as JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

import pfs
from benchmarks.history import _put
from pfs.changes import replay
from pfs.expand import expand
from pfs.repo import Repo
from pfs.view import View

_BATCH = 65_536
_FOLDER, _FOLDERS = 1000, 100
_SMALL = 10_000
_EDITS = 1000
PAGE = 1000


class Took(NamedTuple):
    """What one thing took: by the clock, of CPU with all threads, and what else there is to say of it."""

    seconds: float
    cpu_s: float
    value: float | None = None


def path_of(number: int, layout: str = "") -> str:
    """Return the path of a file: folders of 1,000 files, 100 of them in one; paths ascend with numbers.

    ``layout``: all in one folder (``one``), or in folders of four (``four``).
    """
    if layout:
        return f"d{number // 4 if layout == 'four' else 0:07d}/f{number:08d}.dat"
    folder = number // _FOLDER
    return f"d{folder // _FOLDERS:04d}/s{folder % _FOLDERS:02d}/f{number:08d}.dat"


def stream(place: Path, count: int, layout: str = "") -> None:
    """Write the stream, sorted by path; ids are random bytes."""
    import pyarrow as pa

    chance = np.random.default_rng(7)
    schema = pa.schema([("path", pa.string()), ("size", pa.uint64()), ("id", pa.binary(32))])
    with pa.OSFile(str(place / "files.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as out:
        for start in range(0, count, _BATCH):
            number = min(_BATCH, count - start)
            raw = pa.py_buffer(chance.bytes(32 * number))
            ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), number, [None, raw])
            paths = pa.array([path_of(one, layout) for one in range(start, start + number)])
            sizes = pa.array(chance.integers(1, 1 << 20, number).astype(np.uint64))
            out.write_batch(pa.record_batch([paths, sizes, ids], schema=schema))


def build(place: Path, count: int) -> dict[str, Took]:
    """Commit all files of the stream, whose content is elsewhere; durable when it ends."""
    shutil.rmtree(place / "store", ignore_errors=True)
    pfs.init(place / "store").close()
    with pfs.open(place / "store") as store:
        repo = store.create_repo("data")
        clocks = _clocks()
        repo.commit_arrow("master", place / "files.arrow", how=pfs.ArrowPut(presorted=True, external=True))
        seconds, cpu_s = _since(clocks)
        assert repo["master"].stat("/").file_count == count
    return {"build": Took(seconds, cpu_s, count / seconds)}


def ask(place: Path, count: int) -> dict[str, Took]:
    """Return what is taken by what is asked of a store just opened, each a median of many places in the tree.

    It leaves two commits: of one file in a hundred changed, then of one changed.
    """
    chance = random.Random(count)
    found: dict[str, Took] = {}
    with pfs.open(place / "store") as store, _beside(place) as small:
        repo = store.repo("data")
        view = repo["master"]
        some = [path_of(chance.randrange(count)) for _ in range(200)]
        found["look-up"] = _each([partial(view.stat, f"/{path}") for path in some])
        found["size of all"] = _each([partial(view.stat, "/")] * 9)
        found["page of 1,000"] = _each([partial(_page, view, path) for path in some[:50]])
        pattern = f"/{Path(path_of(count // 2)).parent}/*7.dat"
        found["glob in a folder"] = _each([lambda: list(view.glob(pattern))] * 9)
        found["list all"] = _rate(count, lambda: sum(1 for _ in view.tree.walk()))
        found["scan for datums"] = _rate(count, lambda: sum(1 for _ in expand(view.tree, "/*/*/*")))
        found["glob by name"] = _rate(count, lambda: 100 * sum(1 for _ in view.glob("/**/*77.dat")))
        found |= _one_file_commits((repo, some[:15]), (small, [path_of(number * 500) for number in range(15)]))
        found["diff of one"] = _each([lambda: list(repo["master"].diff())] * 9)
        found |= _merges(repo, small, count)
        _change_one_percent(repo, count)
        found["diff of 1 %"] = _rate(count // 100, lambda: sum(1 for _ in repo["master"].diff()))
        with repo.commit("master") as commit:
            commit.put_file(f"/{some[0]}", b"at last")
    return found


@contextmanager
def _beside(place: Path) -> Iterator[Repo]:
    """Give a repo of `_SMALL` files in a store of its own, for what is to be compared in turns."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        stream(Path(folder), _SMALL)
        build(Path(folder), _SMALL)
        with pfs.open(Path(folder) / "store") as store:
            yield store.repo("data")


def _page(view: View, after: str) -> None:
    for _ in islice(view.list(recursive=True, after=f"/{after}"), PAGE):
        pass


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(clocks: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - clocks[0], time.process_time() - clocks[1]


def _each(works: Sequence[Callable[[], object]]) -> Took:
    taken = []
    for work in works:
        clocks = _clocks()
        work()
        taken.append(_since(clocks))
    return Took(*_medians(taken))


def _medians(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(seconds for seconds, _ in taken), median(cpu_s for _, cpu_s in taken)


def _rate(count: int, work: Callable[[], int]) -> Took:
    clocks = _clocks()
    assert work() == count
    seconds, cpu_s = _since(clocks)
    return Took(seconds, cpu_s, count / seconds)


def _one_file_commits(*repos: tuple[Repo, Sequence[str]]) -> dict[str, Took]:
    """Return the medians of seconds, durable, and of bytes written, the index included: of a repo, and a small one.

    They take turns, so that what else the machine does slows both.
    """
    taken: list[list[tuple[float, float]]] = [[], []]
    written: list[list[int]] = [[], []]
    for number, paths in enumerate(zip(*(paths for _, paths in repos), strict=True)):
        for which, (repo, _) in enumerate(repos):
            before, clocks = _written(), _clocks()
            with repo.commit("master") as commit:
                commit.put_file(f"/{paths[which]}", b"commit %d" % number)
            taken[which].append(_since(clocks))
            written[which].append(_written() - before)
    names = "commit of one", f"commit of one in {_SMALL:,} files"
    return {name: Took(*_medians(taken[at]), median(written[at])) for at, name in enumerate(names)}


def _merges(large: Repo, small: Repo, count: int) -> dict[str, Took]:
    """Return what merging `_EDITS` scattered changes on each side takes, in turns, of stores opened afresh."""
    repos = {"merge of 2 x 1,000": (large, count), f"merge in {_SMALL:,} files": (small, _SMALL)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in repos}
    for repo, files in repos.values():
        picks = random.Random(1).sample(range(files), min(2 * _EDITS, files))
        for branch, some in (("left", picks[::2]), ("right", picks[1::2])):
            repo.create_branch(branch, head="master")
            with repo.commit(branch) as commit:
                for number in some:
                    _put(commit, path_of(number).encode(), b"%d of a branch" % number)
    for turn in range(5):
        for name, (repo, _) in repos.items():
            with pfs.open(repo.store.path.parent) as store:
                store.repo("data").create_branch(f"merged-{turn}", head="left")
                clocks = _clocks()
                replay.merge(store, "data", "right", f"merged-{turn}")
                taken[name].append(_since(clocks))
    return {name: Took(*_medians(some)) for name, some in taken.items()}


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def _change_one_percent(repo: Repo, count: int) -> None:
    with repo.commit("master") as commit:
        for number in range(0, count // 100 * 100, 100):
            _put(commit, path_of(number).encode(), b"%d again" % number)


def git(place: Path, count: int) -> None:
    """Make a repository of the same paths and history, with one content for all files of a version."""
    shutil.rmtree(place / "git", ignore_errors=True)
    subprocess.run(["git", "init", "-q", "-b", "master", str(place / "git")], check=True)
    every = range(count)
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=place / "git", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for mark, numbers in enumerate((every, every[: count // 100 * 100 : 100], every[:1]), 1):
            process.stdin.write(b"blob\nmark :%d\ndata 1\n%d\n" % (mark, mark))
            process.stdin.write(b"commit refs/heads/master\ncommitter b <b@localhost> %d +0000\ndata 0\n" % mark)
            process.stdin.writelines(b"M 100644 :%d %s\n" % (mark, path_of(one).encode()) for one in numbers)
    if process.returncode:
        raise RuntimeError("git fast-import failed")
    subprocess.run(["git", "read-tree", "HEAD"], cwd=place / "git", check=True)


def main() -> None:
    """Run what the command line names."""
    what, place, count, answer = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    work: Callable[[Path, int], object] = {
        "stream": stream,
        "stream of one": partial(stream, layout="one"),
        "stream of four": partial(stream, layout="four"),
        "build": build,
        "ask": ask,
        "git": git,
    }[what]
    answer.write_text(json.dumps(work(place, count) or {}))


if __name__ == "__main__":
    main()
