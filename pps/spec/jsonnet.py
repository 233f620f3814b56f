"""Specs made by a jsonnet template: a function of texts, whose result is a pipeline or a list of pipelines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urljoin

from pfs.errors import InvalidInputError, PfsError
from pfs.sources.names import scheme_of
from pfs.texts import check_text

Fetch = Callable[[str], str]
"""Reads a file or URL as text; raises PfsError."""
_MAX_STACK: Final = 500
_PLACE: Final = re.compile(r"^(.+?):(\d+:\d+)(?:-\S*)?$")
_STATIC: Final = re.compile(r"^(?:STATIC|RUNTIME) ERROR: (?:(.+?:\d+:\d+)(?:-[\d:]+)?: )?")


def evaluate(text: str, *, name: str, args: Mapping[str, str], fetch: Fetch) -> str:
    """Return the JSON text that a template makes.

    ``name``: the file or URL that it was read from; imports are relative to that. ``args``: its top-level arguments.

    Raises:
        InvalidInputError: it is no jsonnet, fails, or lacks an argument, in one line with file, line and column; an
            argument is not valid UTF-8; the binding is not installed.
    """
    try:
        import _jsonnet
    except ImportError as error:
        raise InvalidInputError("jsonnet templates need one package more: `pip install 'pfs[jsonnet]'`") from error
    given = {check_text(arg): check_text(value) for arg, value in args.items()}
    imports = _Imports(fetch)
    try:
        made = _jsonnet.evaluate_snippet(name, text, tla_vars=given, import_callback=imports.take, max_stack=_MAX_STACK)
    except RuntimeError as error:
        raise InvalidInputError(_one_line(str(error), name)) from None
    return str(made)


class _Imports:
    """What a template imports, each once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._taken: dict[str, bytes] = {}

    def take(self, folder: str, word: str) -> tuple[str, bytes]:
        """Return the place and bytes of an import; ``folder``: where the importing file is, with a ``/`` at the end."""
        place = _place(folder, word)
        if place not in self._taken:
            try:
                self._taken[place] = self._fetch(place).encode()
            except PfsError as error:
                raise RuntimeError(str(error)) from None
        return place, self._taken[place]


def _place(folder: str, word: str) -> str:
    if scheme_of(word):
        return word
    return urljoin(folder, word) if scheme_of(folder) else os.path.join(folder, word)


def _one_line(message: str, name: str) -> str:
    """Return ``file:line:column: what``: the innermost place of a trace stands before what went wrong."""
    first, *trace = message.strip().splitlines()
    found = _STATIC.match(first)
    what = first[found.end() :] if found else first
    if found and found[1]:
        return f"{found[1]}: {what}"
    for line in trace:
        place = _PLACE.match(line.strip().split("\t")[0])
        if place:
            return f"{place[1]}:{place[2]}: {what}"
    return f"{name}: {what}"
