"""pfs: a versioned, content-addressed file system; see docs/architecture.md.

``pfs.open()``, ``pfs.init()`` and the types they lead to are here; each is imported when it is first asked for,
so that ``import pfs`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfs.attach import Connected, Settings, connect
    from pfs.backends.s3_place import S3Options
    from pfs.changes.arrow_put import ArrowPut
    from pfs.changes.writer import CommitWriter
    from pfs.encryption.secret import KeyFile, Passphrase
    from pfs.model import BranchInfo, CommitInfo, FileChange, FileInfo, NewCommit, Provenance, RepoInfo
    from pfs.opening import open
    from pfs.refs.retention import Keep, PathRule, Retention
    from pfs.repo import Repo
    from pfs.store import Store, init, locate
    from pfs.view import View

__version__ = "0.1.0"
__all__ = [
    "init",
    "connect",
    "open",
    "locate",
    "Store",
    "Connected",
    "Settings",
    "S3Options",
    "Passphrase",
    "KeyFile",
    "Repo",
    "View",
    "CommitWriter",
    "ArrowPut",
    "RepoInfo",
    "BranchInfo",
    "CommitInfo",
    "FileInfo",
    "FileChange",
    "NewCommit",
    "Provenance",
    "Retention",
    "Keep",
    "PathRule",
]

_HOMES = {
    "pfs.attach": ("connect", "Connected", "Settings"),
    "pfs.backends.s3_place": ("S3Options",),
    "pfs.encryption.secret": ("KeyFile", "Passphrase"),
    "pfs.opening": ("open",),
    "pfs.store": ("init", "locate", "Store"),
    "pfs.repo": ("Repo",),
    "pfs.view": ("View",),
    "pfs.changes.arrow_put": ("ArrowPut",),
    "pfs.changes.writer": ("CommitWriter",),
    "pfs.refs.retention": ("Retention", "Keep", "PathRule"),
    "pfs.model": ("RepoInfo", "BranchInfo", "CommitInfo", "FileInfo", "FileChange", "NewCommit", "Provenance"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'pfs' has no attribute {name!r}")
