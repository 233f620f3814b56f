"""The words of a command line, before anything is known of the command's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cli.entry import Entry

_READ_VERBS = ("list-", "inspect-", "get-", "glob-", "diff-", "find-", "wait-", "subscribe-")
_READ_ONLY = frozenset(
    {
        "",
        "check-status",
        "completion",
        "doctor",
        "draw",
        "export-lineage",
        "fsck",
        "lineage",
        "locate",
        "log",
        "logs",
        "schema",
        "stats",
        "validate",
        "version",
    }
)
"""Commands that change nothing, whatever becomes of their output; none at all is help."""


def singular(name: str, table: Mapping[str, Entry]) -> str | None:
    """Return the command that ``name`` or its plural spelling means, or None."""
    for candidate in (name, name.removesuffix("s"), name.removesuffix("es")):
        if candidate in table:
            return candidate
    return None


def hoist_store(args: Sequence[str]) -> list[str]:
    """Move ``--store X`` to the front, wherever it stands before a ``--``, so that it may follow the command.

    One without a word goes there as an empty one, which is refused: else it would take the command for its own.
    """
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest.append(word)
            rest.extend(words)
        elif word == "--store":
            value = next(words, None)
            front += ["--store="] if value is None else [word, value]
        elif word.startswith("--store="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def joined(words: Sequence[str], table: Mapping[str, Entry]) -> list[str]:
    """Return words of which ``list repo`` is made ``list-repo``, as Pachyderm's users type it, where that is a command.

    A first word that is a command by itself stays one.
    """
    for at, word in enumerate(words[:-1]):
        if word.startswith("-") or (at and words[at - 1] == "--store"):
            continue
        both = f"{word}-{words[at + 1]}"
        if singular(word, table) is None and singular(both, table) is not None:
            return [*words[:at], both, *words[at + 2 :]]
        break
    return list(words)


def is_reading(command: str) -> bool:
    """Say whether a command changes nothing; ``""`` is none at all."""
    return command.startswith(_READ_VERBS) or command in _READ_ONLY


def called(words: Sequence[str], table: Mapping[str, Entry]) -> str:
    """Return the first word that calls a command, as typed; ``""`` where there is none."""
    return next((word for word in words if singular(word, table) is not None), "")
