"""docs/performance.md and its pictures out of results: `python -m benchmarks.report RESULTS.json ...`.

Of a contestant's case that several files have, the last one counts, so that a run may be made in parts.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.contestants import CONTESTANTS
from benchmarks.results import Results, Row
from benchmarks.svg import Bar, bars
from benchmarks.wanted import WANTED

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {
    "tiny": "One file of 100 bytes: what starting costs",
    "medium": "512 MiB, incompressible",
    "text": "2 GiB of CSV, compressed where the program can",
    "small": "100,000 files of 1 to 20 KiB in 200 directories, half of them text",
    "large": "4 GiB, incompressible",
}
CASES = {
    "start": "only start (`--help`)",
    "store": "store",
    "again": "store again what has not changed",
    "changed": "store it with 1 % changed and 100 insertions",
    "100 changed": "one byte changed in 100 files",
    "one changed": "one byte changed in one file, all looked through",
    "one named": "one byte changed in one file, which is named where a program can take names",
    "restore": "restore the last version, compared afterwards",
}
_BUSY = 4
"""A load that a run does not make by itself."""
_NOTE = {"large/again": "store again under a new time, so that all is read"}


def main() -> None:
    """Write the report of the files that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="RESULTS.json")
    parser.add_argument("--to", type=Path, default=DOCS, help="the folder; default: docs")
    options = parser.parse_args()
    print(f"written: {write(Results.load(options.files), options.to)}")


def write(results: Results, folder: Path) -> Path:
    """Write performance.md and the folder `performance` of pictures beside it; return the page's path."""
    pictures = folder / "performance"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    page = folder / "performance.md"
    page.write_text("\n".join(_page(results, pictures)).rstrip() + "\n")
    return page


def _page(results: Results, pictures: Path) -> list[str]:
    lines = [
        "# Performance",
        "",
        "Written by `make bench` ([how](benchmarks.md)); do not edit. Contestants take turns in each round, every",
        "command is a cold process, data are in the page cache. Figures are medians over the rounds; a ratio is the",
        "median of the rounds' own ratios. Memory is the peak of all processes together, mapped files included.",
        "",
    ]
    lines += _about(results) + _wanted(results)
    datasets = list(dict.fromkeys(case.split("/")[0] for case in results.cases("files")))
    if datasets:
        lines += ["## Files", "", *_contestants(results)]
    for dataset in datasets:
        lines += _dataset(results, dataset, pictures)
    lines += _trees(results, pictures)
    for suite in dict.fromkeys(str(row["suite"]) for row in results.rows):
        lines += [f"## Suite `{suite}`", "", *_rows([row for row in results.rows if row["suite"] == suite]), ""]
    return lines


def _about(results: Results) -> list[str]:
    suites = ["suite", "date (UTC)", "scale", "rounds", "load before and after", "machine", "Python, pfs"]
    keys = ("date", "scale", "rounds", "load", "machine", "software")
    rows = [[f"`{suite}`", *(str(one.get(key, "")) for key in keys)] for suite, one in results.about.items()]
    versions = next((one["versions"] for one in results.about.values() if one.get("versions")), {})
    said = ", ".join(f"{name} {version}" for name, version in dict(versions).items() if version)  # type: ignore[call-overload]
    lines = [*table(suites, rows), ""]
    if said:
        lines += [f"Others: {said}.", ""]
    if any(max(map(float, str(one.get("load", "0")).split(", "))) > _BUSY for one in results.about.values()):
        lines += ["**The machine was busy with other work**: seconds are by chance, CPU seconds say more.", ""]
    scales = {one["scale"] for one in results.about.values() if one.get("scale") not in (None, 1, 1.0)}
    if scales:
        text = ", ".join(f"{scale:g}" for scale in sorted(map(float, map(str, scales))))
        lines += [
            f"**Sizes and counts are {text} of those that the tables name**, where starting a program weighs more.",
            "",
        ]
    return lines


def _wanted(results: Results) -> list[str]:
    rows = []
    for one in WANTED:
        value, verdict = one.verdict(results)
        if verdict != "not measured":
            unit = f" {one.unit}" if one.unit else ""
            verdict = f"**{verdict}**" if verdict == "missed" else verdict
            rows.append([one.what, f"{one.side} {number(one.limit)}{unit}", f"{number(value)}{unit}", verdict])
    if not rows:
        return []
    reached = sum(row[3] == "reached" for row in rows)
    title = f"## Wanted and measured: {reached} of {len(rows)} reached"
    return [title, "", *table(["what", "wanted", "measured", ""], rows), ""]


def _contestants(results: Results) -> list[str]:
    here = {one.contestant for one in results.samples if one.suite == "files"}
    notes = [f"{one.name}: {one.note}" for one in CONTESTANTS if one.note and one.name in here]
    return [f"{'; '.join(notes)}.", ""] if notes else []


def _dataset(results: Results, dataset: str, pictures: Path) -> list[str]:
    cases = [case for case in results.cases("files") if case.startswith(f"{dataset}/")]
    picture = pictures / f"{dataset}.svg"
    picture.write_text(bars([(_title(case), _bars(results, case)) for case in cases]))
    lines = [f"### {TITLES[dataset]}", "", f"![seconds](performance/{picture.name})", ""]
    for case in cases:
        lines += [f"{_title(case)[:1].upper()}{_title(case)[1:]}:", "", *_case(results, case), ""]
    return lines


def _title(case: str) -> str:
    return _NOTE.get(case, CASES.get(case.partition("/")[2], case.partition("/")[2]))


def _bars(results: Results, case: str) -> list[Bar]:
    found = [(results.median(case, one) or 0.0, one) for one in results.contestants(case)]
    return [Bar(one, value, f"{number(value)} s", one.startswith("pfs")) for value, one in sorted(found)]


def _case(results: Results, case: str) -> list[str]:
    head = ["", "seconds", "beside pfs", "CPU s", "memory MiB", "stored MB", "added MB"]
    rows = []
    for _seconds, one in sorted((results.median(case, one) or 0.0, one) for one in results.contestants(case)):
        columns = ["seconds", "cpu_s", "peak_mib", "stored", "added"]
        seconds, cpu, memory, stored, added = (results.median(case, one, column) for column in columns)
        ratio = results.ratio(case, one, "pfs")
        sizes = [None if size is None else size / 1e6 for size in (stored, added)]
        rows.append([one, *map(number, (seconds, ratio, cpu, memory, *sizes))])
    return _without_empty(head, rows)


def _trees(results: Results, pictures: Path) -> list[str]:
    cases = results.cases("trees")
    if not cases:
        return []
    inside = [case for case in cases if not case.startswith("trees/command")]
    commands = [case for case in cases if case.startswith("trees/command")]
    (pictures / "trees.svg").write_text(
        bars([(case.removeprefix("trees/command: "), _bars(results, case)) for case in commands])
    )
    counts = ", ".join(f"{name}: {results.facts.get(f'trees/{name}', 0):,.0f}" for name in ("small", "1M", "10M"))
    lines = ["## Trees of very many files", "", f"Files: {counts}; no contents. In process, ours:", ""]
    sizes = ["pfs small", "pfs 1M", "pfs 10M", "pfs"]
    rows = []
    for case in inside:
        for who in [one for one in sizes if one in results.contestants(case)]:
            value = results.median(case, who, "value")
            seconds, cpu, memory = (results.median(case, who, column) for column in ("seconds", "cpu_s", "peak_mib"))
            name = case.removeprefix("trees/")
            what = "" if value is None else f"{value:,.0f} {'bytes written' if 'commit' in name else 'a second'}"
            rows.append([name, who, number(seconds), number(cpu), what, number(memory)])
    lines += [*table(["", "", "seconds", "CPU s", "", "memory MiB of the process"], rows), ""]
    lines += ["Commands, each a cold process, beside git's on as many paths:", ""]
    lines += ["![seconds](performance/trees.svg)", ""]
    for case in commands:
        lines += [f"{case.removeprefix('trees/command: ')}:", "", *_pairs(results, case), ""]
    return lines


def _pairs(results: Results, case: str) -> list[str]:
    rows = []
    for one in results.contestants(case):
        columns = ("seconds", "cpu_s", "peak_mib")
        rows.append([one, *(number(results.median(case, one, column)) for column in columns)])
    return table(["", "seconds", "CPU s", "memory MiB"], rows)


def _rows(rows: Sequence[Row]) -> list[str]:
    head = ["case", "variant", "mb_s", "seconds", "ratio", "baseline"]
    cells = [[_cell(row.get(name)) for name in head] for row in rows]
    return _without_empty(["case", "", "MB/s", "seconds", "speed ratio", "to"], cells)


def _cell(value: object) -> str:
    return number(value) if isinstance(value, float | int) else str(value or "")


def number(value: float | None) -> str:
    """Return a figure with three digits, or all of those before the point; nothing for None."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1 or not value:
        return f"{value:.3g}"
    return f"{value:.2g}" if abs(value) >= 0.001 else f"{value:.1e}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows)]


def _without_empty(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    kept = [at for at in range(len(head)) if at == 0 or any(row[at] for row in rows)]
    return table([head[at] for at in kept], [[row[at] for at in kept] for row in rows])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    main()
