"""Options that take NAME=VALUE and may be repeated, once for each name."""

from __future__ import annotations

from collections.abc import Iterable

from cli.exits import usage_error
from pfs.shorten import quoted


def pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Return what the values of ``option`` say, in their order.

    Raises:
        InvalidInputError: one has no ``=``, or two have one name.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise usage_error(f"{option} {quoted(text)} has no value: write NAME=VALUE")
        if name in found:
            raise usage_error(f"{option} gives {quoted(name)} twice: give each name once")
        found[name] = value
    return found
