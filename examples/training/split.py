"""Every fourth point is for the test."""

import sys
from pathlib import Path

lines = Path(sys.argv[1]).read_text().splitlines(keepends=True)
Path(sys.argv[2]).write_text("".join(line for number, line in enumerate(lines) if number % 4))
Path(sys.argv[3]).write_text("".join(lines[::4]))
