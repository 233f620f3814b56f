"""Split each CSV file of a folder: every so manieth row is for testing."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input", type=Path)
parser.add_argument("--test-size", type=float)
parser.add_argument("--output", type=Path)
given = parser.parse_args()
every = round(1 / given.test_size)
for table in sorted(given.input.glob("*.csv")):
    head, *rows = table.read_text().splitlines(keepends=True)
    folder = given.output / table.stem
    folder.mkdir()
    (folder / "test.csv").write_text(head + "".join(rows[::every]))
    (folder / "train.csv").write_text(head + "".join(row for number, row in enumerate(rows) if number % every))
