"""The parts of the benchmarks that are not timed: data, measuring, medians and ratios, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import data, files, report, tree_runs
from benchmarks.contestants import CONTESTANTS
from benchmarks.measure import CommandFailedError, Watch, measure
from benchmarks.options import Options
from benchmarks.results import Results, Sample
from benchmarks.svg import Bar, bars
from benchmarks.wanted import WANTED, Wanted


@pytest.mark.parametrize("write", [data.noise_file, data.csv_file])
def test_a_seed_gives_the_same_bytes(tmp_path: Path, write: object) -> None:
    size = data.MIB + 12_345
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, size, seed=seed)  # type: ignore[operator]
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert len(a) == size


def test_small_files_are_the_same_and_flips_are_undone(tmp_path: Path) -> None:
    for name in "ab":
        data.small_files(tmp_path / name, 400, seed=3)
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")
    found = [file for file in (tmp_path / "a").rglob("*") if file.is_file()]
    assert len(found) == 400
    assert len({file.parent for file in found}) == data.DIRECTORIES
    assert all(1024 <= file.stat().st_size <= 20 * 1024 for file in found)
    data.flip_small(tmp_path / "a", range(0, 400, 40), 400, mask=5)
    assert files.digest(tmp_path / "a") != files.digest(tmp_path / "b")
    data.flip_small(tmp_path / "a", range(0, 400, 40), 400, mask=5)
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")


def test_a_changed_copy_has_as_many_new_bytes_as_it_says(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    data.noise_file(first, 3 * data.MIB, seed=1)
    new = data.changed_copy(first, second, insertions=10, seed=2)
    grown = second.stat().st_size - first.stat().st_size
    assert 10 <= grown <= 10 * 999
    assert new == grown + 3 * data.MIB // 100
    left, right = first.read_bytes(), second.read_bytes()
    same = sum(right.find(left[at : at + 64]) >= 0 for at in range(0, len(left) - 64, 4096))
    assert 0.95 < same / (len(left) // 4096) < 1


def test_memory_is_that_of_all_processes_below() -> None:
    hold = "import sys; kept = bytearray(b'x') * (64 << 20); print('held', flush=True); sys.stdin.read()"
    both = f"import subprocess, sys; [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)][1].wait()"
    with subprocess.Popen([sys.executable, "-c", both], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"held\n"] * 2
        watch = Watch(process.pid)
        watch.look()
    assert watch.peak_kib >= watch.anon_kib > 128 << 10


def test_the_peak_of_a_process_is_seen_after_it() -> None:
    code = "bytearray(b'x') * (64 << 20); print('freed', flush=True); import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"freed\n"
        watch = Watch(process.pid)
        watch.look()
    assert watch.peak_kib > 64 << 10 > watch.anon_kib


def test_a_command_is_measured_with_what_it_starts() -> None:
    child = "sum(range(20_000_000))"
    alone = measure([sys.executable, "-c", "pass"])
    cost = measure(["sh", "-c", '"$0" -c "$1"; true', sys.executable, child])
    assert cost.cpu_s > alone.cpu_s


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(CommandFailedError, match=r"ended with 3.*no such luck"):
        measure(["sh", "-c", "echo no such luck >&2; exit 3"])


def sample(case: str, who: str, turn: int, seconds: float) -> Sample:
    return Sample("files", case, who, turn, seconds, 1.0, 100.0, 90.0, 10**6, 10**6)


def test_ratios_are_medians_of_the_rounds_own() -> None:
    ours = [sample("c", "pfs", turn, seconds) for turn, seconds in enumerate((1.0, 4.0, 2.0))]
    theirs = [sample("c", "peer", turn, seconds) for turn, seconds in enumerate((3.0, 8.0, 8.0))]
    results = Results(samples=ours + theirs)
    assert results.median("c", "pfs") == 2.0
    assert results.ratio("c", "peer", "pfs") == 3.0
    assert results.ratio("c", "absent", "pfs") is None
    assert results.fastest("c", ("peer", "pfs", "absent")) == "pfs"


def test_the_last_run_of_a_case_counts(tmp_path: Path) -> None:
    for number, found in enumerate(
        (
            Results({"files": {"scale": 1}}, [sample("c", "pfs", 0, 1.0), sample("d", "pfs", 0, 1.0)], [], {"c": 1}),
            Results({"files": {"scale": 2}}, [sample("c", "pfs", 0, 5.0)], [{"suite": "micro"}], {"c": 2}),
        )
    ):
        found.save(tmp_path / f"{number}.json")
    both = Results.load([tmp_path / "0.json", tmp_path / "1.json"])
    assert both.median("c", "pfs") == 5.0
    assert both.median("d", "pfs") == 1.0
    assert (both.about, both.facts, both.rows) == ({"files": {"scale": 2}}, {"c": 2}, [{"suite": "micro"}])


def test_every_contestant_has_every_place() -> None:
    some = list(CONTESTANTS[:3])
    orders = [files.rotated(some, turn) for turn in range(3)]
    assert all(sorted(order.index(one) for order in orders) == [0, 1, 2] for one in some)


def test_a_figure_is_reached_or_missed() -> None:
    results = Results(samples=[sample("c", "pfs", 0, 2.0)])
    for side, limit, wanted in (("at least", 2, "reached"), ("at most", 1.9, "missed"), ("at most", 2, "reached")):
        one = Wanted("it", side, limit, "s", lambda results: results.median("c", "pfs"))  # type: ignore[arg-type]
        assert one.verdict(results) == (2.0, wanted)
    assert all(one.verdict(Results()) == (None, "not measured") for one in WANTED)


def test_the_report_of_fixed_results(tmp_path: Path) -> None:
    kept = Path(__file__).parents[1] / "data" / "bench_results.json"
    page = report.write(Results.load([kept]), tmp_path).read_text()
    assert "## Wanted and measured: 3 of 4 reached" in page
    assert "| 4 GiB incompressible, time of `cp` | at most 1.25 times | 1.2 times | reached |" in page
    assert "| 4 GiB, as fast as the fastest peer | at least 1 times | 0.5 times | **missed** |" in page
    assert "| restic | 1.2 | 0.5 | 2 | 200 | 4,300 | 4,300 |" in page
    assert "| 10M files" not in page
    assert "| gate | 4.0e-05 | 1.6 | compress |" in page
    pictures = sorted(file.name for file in (tmp_path / "performance").iterdir())
    assert pictures == ["large.svg"]
    assert all(f"performance/{name}" in page for name in pictures)
    assert ElementTree.fromstring((tmp_path / "performance" / "large.svg").read_text()).tag.endswith("svg")


def test_pictures_escape_names() -> None:
    text = bars([("a < b & c", [Bar("tar | zstd", 1.0, "1 s", True), Bar("zero", 0.0, "0 s")])])
    assert [node.text for node in ElementTree.fromstring(text) if node.text][:2] == ["a < b & c", "tar | zstd"]


def test_contestants_store_and_restore(tmp_path: Path) -> None:
    options = Options(0.0001, 1, tmp_path, ("pfs", "cp"), ("small",))
    (results,) = files.results(options)
    assert results.contestants("small/restore") == ["pfs", "cp"]
    assert "small/one named" in results.cases("files")
    stored = results.median("small/store", "pfs", "stored")
    assert stored is not None
    assert stored > results.facts["small/bytes"] / 3
    assert not list(tmp_path.iterdir())


def test_trees_are_built_from_a_stream_and_asked(tmp_path: Path) -> None:
    tree_runs.stream(tmp_path, 2500)
    assert tree_runs.build(tmp_path, 2500)["build"].seconds > 0
    found = json.loads(json.dumps(tree_runs.ask(tmp_path, 2500)))
    assert {"look-up", "page of 1,000", "commit of one", "diff of one", "diff of 1 %", "list all"} <= set(found)
