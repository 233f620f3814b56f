"""Ours as its users have it: a wheel in a venv of its own, `.peers/pfs`.

The developers' install is editable, and finding its modules takes a cold command 10 ms that no user's takes. A wheel of
other sources than those beside this file is not measured.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from benchmarks.installing import FOLDER, run

ROOT = Path(__file__).parents[1]
PLACE = FOLDER / "pfs"
PACKAGES = ("pfs", "pps", "s3api", "cli")
_REST = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def install() -> None:
    """Build a wheel of the sources and install it; its dependencies only the first time."""
    python, known = PLACE / "bin" / "python", ()
    if (PLACE / "bin" / "pfs").exists():
        if is_current():
            return
        known = ("--no-deps", "--force-reinstall")
    elif not run(sys.executable, "-m", "venv", str(PLACE)):
        return
    with tempfile.TemporaryDirectory(prefix="pfs-wheel-") as folder:
        for name in PACKAGES:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in _REST:
            shutil.copy(ROOT / name, folder)
        run(str(python), "-m", "pip", "install", "--quiet", *known, folder)
    is_current.cache_clear()


@lru_cache(maxsize=1)
def is_current() -> bool:
    """Whether the wheel is there and has the sources beside this file, each as it is now."""
    found = next(iter(PLACE.glob("lib/python3*/site-packages/pfs")), None)
    return found is not None and all(_same(ROOT / name, found.parent / name) for name in PACKAGES)


def _same(here: Path, there: Path) -> bool:
    sources = [one for suffix in ("py", "c", "h") for one in here.rglob(f"*.{suffix}")]
    pairs = [(one, there / one.relative_to(here)) for one in sources if one.suffix == ".py"]
    listed = {one.relative_to(there) for one in there.rglob("*.py")} == {b.relative_to(there) for _, b in pairs}
    native = [one for one in sources if one.suffix != ".py"]
    built = max((one.stat().st_mtime for one in there.rglob("*.so")), default=0.0)
    fresh = not native or all(one.stat().st_mtime < built for one in native)
    return listed and fresh and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def programs() -> Path:
    """Return the folder that has the commands `pfs` and `pps` to measure."""
    return PLACE / "bin" if is_current() else Path(sys.executable).parent
