"""The options of a bucket, which `pfs init --backend` and `pfs clone` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import click

from cli.exits import usage_error

if TYPE_CHECKING:
    from pfs.backends.s3_place import S3Options

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
        click.option(
            "--sse",
            type=click.Choice(["AES256", "aws:kms", "aws:kms:dsse"]),
            metavar="NAME",
            help="Encryption by the server: AES256, aws:kms, aws:kms:dsse.",
        ),
        click.option("--sse-key", metavar="ID", help="KMS key of --sse aws:kms."),
        click.option(
            "--ca-bundle",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True),
            help="Certificates to trust. Default: boto3's, AWS_CA_BUNDLE.",
        ),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.IntRange(1, 3600),
            help="Give a silent request up after that, and all tries of it after twice that. Default: 60.",
        ),
        click.option("--anonymous", is_flag=True, help=f"Sign nothing: {bucket} is open to everybody."),
        click.option("--requester-pays", is_flag=True, help=f"Pay for requests, as the owner of {bucket} does not."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def s3_options(given: Mapping[str, object]) -> S3Options:
    """Return what the options say; raises UsageError for a key that nothing would use."""
    sse = given.get("sse")
    if given.get("sse_key") is not None and sse in (None, "AES256"):
        raise usage_error("--sse-key is the key of a KMS: add --sse aws:kms or --sse aws:kms:dsse")
    import msgspec

    from pfs.backends.s3_place import S3Options

    named = {"timeout_s" if name == "timeout" else name: value for name, value in given.items()}
    return msgspec.convert(named, S3Options)
