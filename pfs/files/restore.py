"""Bytes out: stored files and directories to a disk, in parallel and in bounded memory.

Each file is written under another name beside its target and renamed; nothing is written of a directory that no disk
could hold.
"""

from pfs.files.restore_file import restore_file
from pfs.files.restore_tree import restore_items, restore_tree

__all__ = ["restore_file", "restore_items", "restore_tree"]
