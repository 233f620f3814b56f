"""Get the programs and libraries that ours is compared with: `benchmarks/install_peers`, as `make bench` does.

Ours is installed as a wheel (`benchmarks/own.py`). Debian's come by apt-get where this is root; what PyPI has gets a
venv or a folder of its own in `.peers`, never the venv that this runs in. What is there stays, so a second run costs
nothing; what cannot be had is said in a line, and the benchmarks go on without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import lru_cache

from benchmarks import own
from benchmarks.installing import FOLDER, run

LIBRARIES = FOLDER / "libraries"
DEBIAN = {
    "restic": "restic",
    "borg": "borgbackup",
    "ostree": "ostree",
    "git": "git",
    "git-annex": "git-annex",
    "casync": "casync",
    "rsync": "rsync",
    "zstd": "zstd",
    "tar": "tar",
    "b3sum": "b3sum",
}
"""Programs and Debian's packages of them."""
VENVS = {"dvc": ("dvc==3.67.1",)}
"""Programs and what pip installs for them."""
MODULES = {"pyfastcdc": "pyfastcdc==0.3.1", "fastcdc": "fastcdc==1.7.0"}
"""Modules that are compared in one process with ours, and what pip installs for them."""
_VERSION = {"git-annex": ("git-annex", "version"), "ostree": ("ostree", "--version"), "restic": ("restic", "version")}


def main() -> None:
    """Install what is missing; print the version of each, or that it cannot be had."""
    own.install()
    _from_debian([name for name in DEBIAN if program(name) is None])
    for name, wanted in VENVS.items():
        if program(name) is None:
            _into_venv(name, wanted)
    for name, one in MODULES.items():
        if not (LIBRARIES / name).exists():
            run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(LIBRARIES), one)
    for name, version in versions().items():
        print(f"{name}: {version or 'cannot be had here'}")


def program(name: str) -> str | None:
    """Return the path of a peer's program, None where it is not installed."""
    own = FOLDER / name / "bin" / name
    return str(own) if own.exists() else shutil.which(name)


def add_libraries() -> None:
    """Make the modules importable; what this process has already goes before them."""
    if str(LIBRARIES) not in sys.path:
        sys.path.append(str(LIBRARIES))


@lru_cache(maxsize=1)
def versions() -> dict[str, str | None]:
    """Return the version of each program and module, None for one that is missing."""
    programs = {name: _version(name) for name in sorted({*DEBIAN, *VENVS})}
    return {**programs, **{name: _module_version(name) for name in MODULES}}


def _version(name: str) -> str | None:
    path = program(name)
    if path is None:
        return None
    _, *arguments = _VERSION.get(name, (name, "--version"))
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).replace("'", " ").split()
    return next((word.strip(",") for word in words if word.lstrip("v")[:1].isdigit()), "unknown")


def _module_version(name: str) -> str | None:
    found = sorted(LIBRARIES.glob(f"{name}-*.dist-info"))
    return found[-1].name.removesuffix(".dist-info").partition("-")[2] if found else None


def _from_debian(missing: list[str]) -> None:
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"not root on Debian, so {', '.join(missing)} cannot be installed", file=sys.stderr)
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=environment)
    for name in missing:
        options = ("-qq", "-y", "--no-install-recommends")
        run("apt-get", "install", *options, DEBIAN[name], env=environment)


def _into_venv(name: str, wanted: tuple[str, ...]) -> None:
    place = FOLDER / name
    if not run(sys.executable, "-m", "venv", str(place)):
        return
    if not run(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted):
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
