"""Spec files that commands are given: a file, a URL, stdin, or what a jsonnet template makes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from cli.exits import usage_error
from cli.pairs import pairs
from pfs.errors import InvalidInputError, NotFoundError
from pfs.shorten import quoted

_MOST_BYTES: Final = 16 << 20
_FILE_HELP: Final = "The spec: JSON or YAML; may be a URL."
_JSONNET_HELP: Final = "A jsonnet template that makes the spec; may be a URL. Needs pip install 'pfs[jsonnet]'."


@dataclass(frozen=True, slots=True)
class SpecText:
    """The text of a spec; ``name`` for messages; ``base_dir``: the folder that its code is relative to."""

    text: str
    name: str
    base_dir: Path


@dataclass(frozen=True, slots=True)
class Given:
    """What -f, --jsonnet and --arg said; nothing is read yet."""

    source: str | None
    jsonnet: str | None
    args: tuple[str, ...]

    @property
    def is_there(self) -> bool:
        """Whether there is a spec."""
        return self.source is not None or self.jsonnet is not None

    def read(self) -> SpecText:
        """Read the spec.

        Raises:
            NotFoundError: no such file. StorageError: a URL cannot be read.
            InvalidInputError: neither or both of -f and --jsonnet were given; it is no text; the template fails.
        """
        if (self.source is None) == (self.jsonnet is None):
            raise usage_error("give a spec with -f, or a template with --jsonnet")
        if self.source is not None:
            if self.args:
                raise usage_error("--arg is for --jsonnet: a spec of -f takes no arguments")
            return SpecText(_text(self.source), _name(self.source), _folder(self.source))
        assert self.jsonnet is not None
        from pps.spec.jsonnet import evaluate

        args = pairs("--arg", self.args)
        made = evaluate(_text(self.jsonnet), name=_name(self.jsonnet), args=args, fetch=_text)
        return SpecText(made, f"{_name(self.jsonnet)} (its result)", _folder(self.jsonnet))


def spec_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command -f, --jsonnet and --arg; it takes a `Given` as its first argument."""

    @click.option("-f", "--file", "source", metavar="FILE|URL|-", help=_FILE_HELP)
    @click.option("--jsonnet", metavar="FILE|URL|-", help=_JSONNET_HELP)
    @click.option("--arg", "args", multiple=True, metavar="NAME=TEXT", help="An argument of the template; repeatable.")
    @functools.wraps(command)
    def with_given(*, source: str | None, jsonnet: str | None, args: tuple[str, ...], **rest: object) -> None:
        command(Given(source, jsonnet, args), **rest)

    return with_given


def _text(source: str) -> str:
    """Return the text of a file, a URL or stdin (``-``)."""
    from pfs.sources.names import scheme_of

    if source == "-":
        data = sys.stdin.buffer.read()
    elif scheme_of(source):
        data = _fetched(source)
    else:
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"no spec file {quoted(source)}") from error
        except IsADirectoryError as error:
            raise InvalidInputError(f"{source} is not a text file: a spec is JSON or YAML") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{_name(source)} is not a text file: a spec is JSON or YAML") from error


def _fetched(url: str) -> bytes:
    import threading

    from cli.reach import origins

    file = origins(None).of(url).file(url)
    with file.open(threading.Event()) as fetched:
        data = fetched.stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InvalidInputError(f"{file.shown} has more than {_MOST_BYTES >> 20} MiB: that is no spec")
    return data


def _name(source: str) -> str:
    from pfs.sources.names import scheme_of, shown

    return "stdin" if source == "-" else shown(source) if scheme_of(source) else source


def _folder(source: str) -> Path:
    from pfs.sources.names import scheme_of

    return Path.cwd() if source == "-" or scheme_of(source) else Path(source).resolve().parent
