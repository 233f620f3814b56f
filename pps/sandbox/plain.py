"""Plain requests: what the native loop of the spawner (_plain.c) takes, in the form in which it takes them.

Plain is what nearly every command is: one in a PID namespace of its own, without limits and files in memory, in
64 KiB. The form, after the length: three counts (unsigned, 32 bits, of this machine), then so many words of argv and
environment, the working directory, and so many words of the steps, each ended by a zero byte.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from pps.sandbox.spawner_init import Request

PLAIN: Final = 1 << 31
"""Set in the length of a request of this form."""
_LONGEST: Final = 1 << 16
_MOST_WORDS: Final = 4095
_KINDS: Final = {"bind": "b", "tree": "t", "ro": "r", "overlay": "o", "proc": "p"}
_ODD_FOR_OVERLAYS: Final = frozenset(",:\\")


def encode(request: Request) -> bytes | None:
    """Return the message; None if it is not plain, or must be refused with words that the other form has."""
    if request["limits"] is not None or request["shares_pids"]:
        return None
    steps: list[str] = []
    for kind, *words in request["mounts"]:
        if kind not in _KINDS or (kind == "overlay" and any(_ODD_FOR_OVERLAYS & set(word) for word in words[:3])):
            return None
        steps += (_KINDS[kind], *words)
    env = [f"{name}={value}" for name, value in request["env"].items() if name and "=" not in name]
    words = [*request["argv"], *env, request["cwd"], *steps]
    if len(env) < len(request["env"]) or not request["argv"] or len(words) > _MOST_WORDS:
        return None
    return _message(words, struct.pack("=3I", len(request["argv"]), len(env), len(steps)))


def _message(words: list[str], counts: bytes) -> bytes | None:
    try:
        text = os.fsencode("\0".join(words))
    except UnicodeEncodeError:
        return None
    message = counts + text + b"\0"
    # A zero byte inside a word would make two of it.
    return message if len(message) <= _LONGEST and text.count(0) == len(words) - 1 else None
