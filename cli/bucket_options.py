"""The options of a bucket, which `pfs init --backend` and `pfs clone` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def bucket_options(server: str, bucket: str) -> Callable[[Command], Command]:
    """Add the options that `pfs.backends.s3_place.S3Options` has; ``server``, ``bucket``: how help names the place."""
    options = (
        click.option(
            "--endpoint", "--endpoint-url", "endpoint", metavar="URL", help=f"{server}. Default: boto3's, AWS."
        ),
        click.option("--region", metavar="NAME", help=f"Region of {bucket}. Default: boto3's."),
        click.option(
            "--profile", metavar="NAME", help=f"Credentials for {bucket}, of that name in ~/.aws. Default: boto3's."
        ),
        click.option(
            "--addressing",
            type=click.Choice(["auto", "path", "virtual"]),
            default="auto",
            show_default=True,
            help=f"Where requests name {bucket}: in the path or in the host.",
        ),
        click.option(
            "--storage-class", metavar="CLASS", help=f"Storage class of data packs in {bucket}, such as STANDARD_IA."
        ),
        click.option("--sse", metavar="NAME", help="Encryption by the server: AES256, aws:kms, aws:kms:dsse."),
        click.option("--sse-key", metavar="ID", help="KMS key of --sse aws:kms."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
