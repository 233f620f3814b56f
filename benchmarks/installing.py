"""Where what is measured gets installed, and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".peers"


def run(*argv: str, env: dict[str, str] | None = None) -> bool:
    """Run a command that installs; say its last line where it fails, and return whether it did not."""
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"{' '.join(argv[:4])} ...: {lines[-1] if lines else done.returncode}", file=sys.stderr)
    return done.returncode == 0
