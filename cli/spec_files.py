"""Spec files that commands are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import InvalidInputError, NotFoundError
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pps.spec import Spec


def read_specs(source: str) -> tuple[list[Spec], Path]:
    """Read the specs in a file or on stdin (``-``); return them with the folder that their code is relative to.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: the place in the file and what is wrong with it.
    """
    from pps.spec import parse_specs

    if source == "-":
        return parse_specs(sys.stdin.read(), name="stdin"), Path.cwd()
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"no spec file {quoted(source)}") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InvalidInputError(f"{source} is not a text file: a spec is JSON or YAML") from error
    return parse_specs(text, name=source), path.resolve().parent
