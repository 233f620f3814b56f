"""Workflow files that commands are given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.pairs import pairs
from cli.spec_files import Given

if TYPE_CHECKING:
    from pps.workflows.plan import Asked
    from pps.workflows.types import Workflow


def file_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command -f; it takes the file's name as ``source``."""
    help_text = "The workflow file: YAML or JSON; its folder is the code of its tasks."
    return click.option("-f", "--file", "source", required=True, metavar="FILE", help=help_text)(command)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command -f and --param; it takes the workflow and what is asked as its first arguments."""

    @file_option
    @click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="The value of a param; lists as JSON; repeatable.",
    )
    @functools.wraps(command)
    def with_workflow(*, source: str, params: tuple[str, ...], **rest: object) -> None:
        command(*read_workflow(source, params), **rest)

    return with_workflow


def read_workflow(source: str, params: tuple[str, ...] = ()) -> tuple[Workflow, Asked]:
    """Return the workflow of a file, and what is asked of it so far.

    Raises:
        NotFoundError: there is no such file. InvalidInputError: it is no workflow.
    """
    from pps.workflows.parse import parse_workflow
    from pps.workflows.plan import Asked

    given = Given(source, None, ()).read()
    file = Path(source).resolve()
    here = file if file.is_file() and source != "-" else None
    asked = Asked(given.base_dir, here, pairs("--param", params))
    return parse_workflow(given.text, name=given.name), asked
