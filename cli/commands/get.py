"""The command get-file, with all its options."""

from __future__ import annotations

import click

from cli import getting, options

_ARCHIVES = ["tar", "tar.gz", "tar.zst", "zip"]

get_file = options.command(
    "get-file",
    getting.get_file,
    options.address_argument(metavar="REPO@COMMIT:/PATH"),
    click.option("-o", "--output", help="Write to this file or folder instead of stdout."),
    click.option("-r", "--recursive", is_flag=True, help="Put the content of a directory into the folder of -o."),
    click.option(
        "--archive", type=click.Choice(_ARCHIVES), help="Write a file, directory or all matches as one archive."
    ),
    click.option("--offset", type=click.IntRange(min=0), default=0, help="Start at this byte."),
    click.option("--length", type=click.IntRange(min=0), help="So many bytes at most."),
    options.jobs_option,
)
