"""What every client has to carry: sizes, keys, and what it must see of them."""

from __future__ import annotations

import hashlib

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
