"""Commands that move stores, and commits between them: clone, push, pull."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from cli import options, unlocking, wiring
from cli.bucket_options import bucket_options, s3_options
from cli.exits import STORAGE, ExitCode, usage_error
from cli.output import counted, human_size, print_json
from cli.progress import Bar

if TYPE_CHECKING:
    from pfs.encryption.secret import Secret
    from pfs.moving.plan import Wish
    from pfs.store import Store


_PLACE: Final = "the folder of a store, or s3://bucket/prefix"


@click.command("clone")
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("target", metavar="DST", type=click.Path())
@bucket_options("S3 server of DST", "DST's bucket")
@click.option("--encrypt", is_flag=True, help="Encrypt DST, under a key of its own.")
@unlocking.options("of DST, with --encrypt")
@click.option("--source-passphrase-file", metavar="FILE", help="The same of SRC, if that is encrypted.")
@click.option("--source-key-file", metavar="FILE", help="The same of SRC, if that is encrypted.")
@options.json_option
def clone(
    source: str,
    target: str,
    *,
    encrypt: bool,
    passphrase_file: str | None,
    key_file: str | None,
    source_passphrase_file: str | None,
    source_key_file: str | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Copy a whole store from SRC to DST, where there is none: folders, or s3://bucket/prefix.

    Repos, branches, tags, commits, pipelines and rules, by the same ids. SRC may be in use. What was cut off goes on
    when it is run again. S3 keys and secrets stay behind.
    """
    import msgspec

    from pfs.backends.s3_place import SCHEME
    from pfs.moving.clone import clone as copy

    wiring.refuse_empty("SRC", _PLACE, source)
    wiring.refuse_empty("DST", _PLACE, target)
    given = [name for name, value in options.items() if value and value != "auto"]
    if given and not target.startswith(SCHEME):
        raise usage_error(f"--{given[0].replace('_', '-')} is for a DST in a bucket: s3://bucket/prefix")
    unlock = unlocking.given(source_passphrase_file, source_key_file, prefix="source-") or unlocking.unlock
    secret = _secret_of_clone(encrypt, passphrase_file, key_file)
    with Bar("copying") as bar:
        report = copy(
            source,
            target,
            options=s3_options(options),
            unlock=unlock,
            encrypt=secret,
            progress=bar,
        )
    if as_json:
        print_json({"name": "clone", **msgspec.to_builtins(report)})
    else:
        click.echo(
            f"copied {counted(report.repos, 'repo')} to {report.location}: "
            f"{counted(report.packs, 'pack')}, {report.sent_packs} of them sent now ({human_size(report.sent_bytes)})"
        )
        if report.secrets or report.keys:
            left = f"{counted(report.keys, 'S3 key')} and {counted(len(report.secrets), 'secret')}"
            names = f" ({', '.join(report.secrets)})" if report.secrets else ""
            print(f"note: not copied: {left}{names}: make them again there", file=sys.stderr)
    if report.damaged:
        more = f" and {len(report.damaged) - 1} more" if len(report.damaged) > 1 else ""
        what = f"damaged in {source}, and no better in the copy: {report.damaged[0]}{more}"
        print(f"{what}; `pfs --store {target} fsck --deep` says what is affected", file=sys.stderr)
        raise ExitCode(STORAGE)


def _secret_of_clone(encrypt: bool, passphrase_file: str | None, key_file: str | None) -> Secret | None:
    if encrypt:
        return unlocking.fresh(passphrase_file, key_file, what="the encrypted copy")
    if passphrase_file is not None or key_file is not None:
        raise usage_error("--passphrase-file and --key-file are of an encrypted DST: add --encrypt")
    return None


@click.command("push")
@click.argument("target", metavar="DST", type=click.Path())
@click.argument("branches", metavar="[REPO[@BRANCH]]...", nargs=-1, shell_complete=options.complete_address)
@click.option(
    "--force", is_flag=True, help="Move branches that went another way there; their old heads can be had back."
)
@unlocking.options("of DST, if it is encrypted and another than here")
@options.json_option
def push(
    target: str,
    branches: tuple[str, ...],
    *,
    force: bool,
    passphrase_file: str | None,
    key_file: str | None,
    as_json: bool,
) -> None:
    """Send branches and tags to the store at DST, a folder or s3://bucket/prefix: all, or those of these repos.

    Only what is missing there is sent. Branches move forwards or not at all.
    """
    from pfs.opening import open as open_at

    wiring.refuse_empty("DST", _PLACE, target)
    other = unlocking.given(passphrase_file, key_file) or unlocking.unlock
    with wiring.open_store() as here, open_at(target, unlock=other) as there:
        _send(here, there, branches, force=force, as_json=as_json)


@click.command("pull")
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("branches", metavar="[REPO[@BRANCH]]...", nargs=-1, shell_complete=options.complete_address)
@click.option(
    "--force", is_flag=True, help="Move branches that went another way here; their old heads can be had back."
)
@unlocking.options("of SRC, if it is encrypted and another than here")
@options.json_option
def pull(
    source: str,
    branches: tuple[str, ...],
    *,
    force: bool,
    passphrase_file: str | None,
    key_file: str | None,
    as_json: bool,
) -> None:
    """Get branches and tags from the store at SRC, a folder or s3://bucket/prefix: all, or those of these repos.

    Only what is missing here is read. Branches move forwards or not at all.
    """
    from pfs.opening import open as open_at

    wiring.refuse_empty("SRC", _PLACE, source)
    other = unlocking.given(passphrase_file, key_file) or unlocking.unlock
    with wiring.open_store() as here, open_at(source, unlock=other) as there:
        _send(there, here, branches, force=force, as_json=as_json)


def _send(source: Store, target: Store, branches: Sequence[str], *, force: bool, as_json: bool) -> None:
    import msgspec

    from pfs.moving.push import send

    with Bar("sending") as bar:
        done = send(source, target, [_wish(text) for text in branches], force=force, progress=bar)
    if as_json:
        print_json([{"name": one.repo, **msgspec.to_builtins(one)} for one in done])
        return
    for one in done:
        what = ", ".join([*one.branches, *(f"tag {tag}" for tag in one.tags)])
        sent = f"{counted(one.commits, 'commit')}, {counted(one.chunks, 'chunk')} ({human_size(one.bytes)})"
        click.echo(f"{one.repo}: {what}: {sent}")
    if not done:
        click.echo("nothing to send: all of it is there")


def _wish(text: str) -> Wish:
    from pfs.moving.plan import Wish
    from pfs.paths import parse_address

    parsed = parse_address(text)
    if parsed.path is not None:
        raise usage_error(f"a path is not wanted in {text!r}: write repo or repo@branch")
    return Wish(parsed.repo, parsed.ref)
