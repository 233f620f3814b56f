"""Free text of users: messages, descriptions, what went wrong. It is stored as UTF-8, and what has none is refused.

Words of a command line that are no UTF-8 come in with half surrogate pairs, and so may texts of a program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pfs.errors import InvalidInputError
from pfs.shorten import quoted

T = TypeVar("T")


def check_text(text: str) -> str:
    """Return ``text``; for where it comes in long before it is stored.

    Raises:
        InvalidInputError: it is not valid UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refused(error) from error
    return text


def encoded(encode: Callable[[T], bytes], value: T) -> bytes:
    """Return ``encode(value)``: the one way by which what holds texts of users becomes bytes to store.

    Raises:
        InvalidInputError: a text in it is not valid UTF-8.
    """
    try:
        return encode(value)
    except UnicodeEncodeError as error:
        raise _refused(error) from error


def _refused(error: UnicodeEncodeError) -> InvalidInputError:
    return InvalidInputError(f"the text {quoted(error.object)} is not valid UTF-8")
