"""What every client has to carry: sizes, keys, and what it must see of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

MIB = 1 << 20

ODD_KEYS = [
    "with blank",
    "plus+sign",
    "amp&ersand",
    "equals=sign",
    "umlaut-äöüß",
    "漢字/かな",
    "percent%20literal",
    "percent%",
    "hash#tag",
    "question?mark",
    "quote'double\"",
    "semi;colon,comma",
    "tilde~at@dollar$",
    "(brackets)[square]{curly}",
    "back\\slash",
    "emoji-🦊",
    "less<than>more",
]


def content(size_bytes: int, *, seed: str = "") -> bytes:
    """Return bytes that no compression helps, the same for the same arguments."""
    return hashlib.shake_128(f"{seed}:{size_bytes}".encode()).digest(size_bytes)


SIZES = {"empty": 0, "small": 5, "one-part": MIB + 1, "parts": 17 * MIB + 3}  # the last is above the limit of one part


def write_tree(folder: Path) -> dict[str, bytes]:
    """Write files as a user has them, odd names and sizes among them; return the content by relative path."""
    files = {f"odd/{key}": key.encode() for key in ODD_KEYS}
    files |= {f"sizes/{name}": content(size) for name, size in SIZES.items()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return files


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of the files below a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
