"""The directory in which one attempt at a datum happens, and how such directories go away."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Scratch:
    """One attempt's directory: ``pfs`` (with ``out``), ``tmp``, ``home`` in it, and ``layers`` for overlays."""

    top: Path

    @classmethod
    def make(cls, top: Path) -> Self:
        """Make a fresh one at ``top``; what was there is removed."""
        if top.exists():
            remove_tree(top)
        scratch = cls(top)
        for path in (scratch.out, scratch.home, scratch.layers):
            path.mkdir(parents=True)
        scratch.tmp.chmod(0o1777)
        return scratch

    @property
    def pfs(self) -> Path:
        """What the command sees as /pfs."""
        return self.top / "cwd" / "pfs"

    @property
    def cwd(self) -> Path:
        """Where the command starts when /pfs cannot be made: the folder that holds ``pfs``."""
        return self.top / "cwd"

    @property
    def out(self) -> Path:
        """What the command sees as /pfs/out."""
        return self.pfs / "out"

    @property
    def tmp(self) -> Path:
        """What the command sees as /tmp."""
        return self.top / "tmp"

    @property
    def home(self) -> Path:
        """Its HOME, below ``tmp``."""
        return self.tmp / "home"

    @property
    def layers(self) -> Path:
        """Upper and work directories of overlays."""
        return self.top / "layers"

    def layer(self, name: str) -> tuple[Path, Path]:
        """Return the upper and the work directory of an overlay, made on first use; one file system holds both."""
        upper, work = self.layers / name / "upper", self.layers / name / "work"
        upper.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
        return upper, work


def remove_tree(top: Path) -> None:
    """Remove a directory with all it holds, also what user code made unreadable; nothing if there is none."""
    try:
        shutil.rmtree(top)
    except FileNotFoundError:
        return
    except PermissionError:
        _open_up(top)
        shutil.rmtree(top)


def _open_up(top: Path) -> None:
    """Give this user every right on the directories below ``top``, each before it is listed."""
    for folder, names, _files in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.chmod(path, 0o700)
