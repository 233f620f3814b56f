"""Commands on the whole store: init, locate, version, doctor, fsck, recover."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from cli import options, unlocking, wiring
from cli.bucket_options import bucket_options, s3_options
from cli.exits import FAILED, STORAGE, ExitCode, usage_error
from cli.output import Json, counted, emit, emit_one, field, human_size, print_json
from cli.progress import Bar
from pfs import __version__
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.attach import Connected
    from pfs.encryption.secret import Secret
    from pfs.store import Store


@click.command("init")
@click.argument("directory", metavar="[DIR]", required=False)
@click.option("--chunk-avg", metavar="SIZE", help="Mean chunk size, 64KiB to 8MiB; fixed for ever. Default: 256KiB.")
@click.option(
    "--backend", metavar="URL", help="Keep the objects at s3://bucket/prefix; a store that is there is connected to."
)
@bucket_options("S3 server", "the bucket")
@click.option(
    "--cache-size", metavar="SIZE", help="What is kept of the bucket on this machine. Default: 10GiB; 0: none."
)
@click.option("--encrypt", is_flag=True, help="Encrypt all that is stored, for ever; asks for a passphrase.")
@unlocking.options("that opens the store, with --encrypt")
@options.json_option
def init(
    directory: str | None,
    chunk_avg: str | None,
    backend: str | None,
    *,
    encrypt: bool,
    passphrase_file: str | None,
    key_file: str | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Make a store in DIR/.pfs (default: here, or where --store says)."""
    wiring.refuse_empty("DIR", "a folder, or none for the working directory", directory)
    place = directory or wiring.store_location() or "."
    average = None if chunk_avg is None else _size(chunk_avg)
    if not encrypt and (passphrase_file is not None or key_file is not None):
        raise usage_error("--passphrase-file and --key-file are of encrypted stores: add --encrypt")
    secret = None
    if encrypt:
        if key_file is not None and not os.path.lexists(key_file):
            _refuse_new_key(place, backend, key_file, options)
        secret = unlocking.fresh(passphrase_file, key_file, what="the encrypted store", by_variables=True)
    wish = _Wish(place, average, secret)
    record = _init_here(wish, options) if backend is None else _connect(wish, backend, options)
    if as_json:
        print_json(record)
    elif record["made"]:
        click.echo(f"made a store in {record['path']}; `pfs create-repo NAME` makes the first repo")
        if record["encrypted"]:
            print(
                "note: who loses its passphrase or key file can never read it again: keep a second one", file=sys.stderr
            )
    else:
        repos = counted(int(str(record["repos"])), "repo")
        click.echo(f"connected {record['path']} to the store at {backend}, with {repos}")
        _note_limits(record)


def _refuse_new_key(place: str, backend: str | None, key_file: str, options: dict[str, str | None]) -> None:
    """Refuse to make a key file for a store that is there: it would not open it.

    Raises:
        AlreadyExistsError: that store is in the folder. NotFoundError: it is in the bucket, or was begun.
    """
    from pathlib import Path

    from pfs.attach import is_begun
    from pfs.encryption.secret import read_key_file

    named = {name: value for name, value in options.items() if name != "cache_size"}
    if is_begun(place, backend, options=None if backend is None else s3_options(named)):
        read_key_file(Path(key_file))


def _note_limits(record: dict[str, Json]) -> None:
    sealed = record["sealed"]
    if isinstance(sealed, list) and sealed:
        advice = "copy root-key from the .pfs that made them, or make them again"
        print(f"note: of another root key, so of no use here: {', '.join(map(str, sealed))}; {advice}", file=sys.stderr)
    if record["read_only"]:
        print("note: these credentials may only read: nothing can be written from this folder", file=sys.stderr)


class _Wish(NamedTuple):
    """The store that shall be: where, with chunks of which size, opened by what."""

    place: str
    average: int | None
    secret: Secret | None


def _init_here(wish: _Wish, options: dict[str, str | None]) -> dict[str, Json]:
    from pfs.config import ChunkerConfig
    from pfs.store import init as init_at

    given = [name for name, value in options.items() if value and value != "auto"]
    if given:
        raise usage_error(f"--{given[0].replace('_', '-')} is for stores in buckets: add --backend s3://bucket/prefix")
    with init_at(wish.place, chunk_avg=wish.average or ChunkerConfig().avg, encrypt=wish.secret) as store:
        return _made(store, None, repos=0)


def _connect(wish: _Wish, url: str, options: dict[str, str | None]) -> dict[str, Json]:
    from pfs.attach import Settings, connect
    from pfs.config import CACHE_BYTES

    kept = options.pop("cache_size")
    settings = Settings(s3_options(options), CACHE_BYTES if kept is None else _size(kept))
    with Bar("building the index") as bar:
        done = connect(
            wish.place,
            url,
            settings=settings,
            chunk_avg=wish.average,
            encrypt=wish.secret,
            unlock=unlocking.unlock,
            progress=bar,
        )
    with done.store as store:
        return _made(store, done, repos=sum(1 for _ in store.refs.names()))


def _made(store: Store, connected: Connected | None, *, repos: int) -> dict[str, Json]:
    from cli.diagnosis import sealed_elsewhere

    return {
        "name": "init",
        "path": str(store.path),
        "backend": store.backend.location,
        "made": connected is None or connected.made,
        "repos": repos,
        "read_only": connected is not None and connected.read_only,
        "encrypted": store.config.encryption is not None,
        "sealed": [] if connected is None else sealed_elsewhere(store),
    }


def _size(text: str) -> int:
    units = {
        "": 1,
        "b": 1,
        "k": 1 << 10,
        "kb": 1 << 10,
        "kib": 1 << 10,
        "m": 1 << 20,
        "mb": 1 << 20,
        "mib": 1 << 20,
        "g": 1 << 30,
        "gb": 1 << 30,
        "gib": 1 << 30,
    }
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(digits) :].strip().lower()
    if not digits.isdigit() or unit not in units:
        raise usage_error(f"{quoted(text)} is not a size: write 64KiB, 1MiB or a number of bytes")
    return int(digits) * units[unit]


@click.command("locate")
def locate() -> None:
    """Print the folder of the store that commands here use."""
    from pfs.store import locate as locate_at

    click.echo(str(locate_at(wiring.store_location())))


@click.command("version")
@options.json_option
def version(as_json: bool) -> None:
    """Say which version of pfs, Python and the chunker's kernel this is."""
    from pfs.chunker import kernel

    emit_one(
        {"name": "pfs", "version": __version__, "python": platform.python_version(), "kernel": kernel().name},
        as_json=as_json,
    )


@click.command("doctor")
@options.json_option
def doctor(as_json: bool) -> None:
    """Check what this machine offers: kernel, isolation, store, disk; says what to do about each shortfall."""
    from cli.diagnosis import diagnose

    findings = diagnose(wiring.store_location())
    emit(
        findings,
        [("CHECK", field("name")), ("STATE", field("state")), ("DETAIL", field("detail", default=""))],
        as_json=as_json,
    )
    if any(finding["state"] == "bad" for finding in findings):
        raise ExitCode(FAILED)


@click.command("fsck")
@click.option("--deep", is_flag=True, help="Read every byte and verify every id.")
@options.json_option
def fsck(deep: bool, as_json: bool) -> None:
    """Check that everything that commits need is there and whole; exit 1 if something is damaged."""
    from pfs.upkeep.check import fsck as check

    with wiring.open_store() as store, Bar("checking") as bar:
        damages = list(check(store, deep=deep, progress=bar))
    records: list[dict[str, Json]] = [
        {
            "name": damage.object,
            "kind": damage.kind,
            "detail": damage.detail,
            "commits": [str(commit) for commit in damage.commits],
            "paths": list(damage.paths),
            "complete": damage.complete,
        }
        for damage in damages
    ]
    if as_json:
        print_json(records)
    for record in [] if as_json else records:
        click.echo(f"{record['kind']}: {record['name']}: {record['detail']}")
        for place in [*record["commits"], *record["paths"]]:  # type: ignore[misc]
            click.echo(f"  affects {place}")
        if not record["complete"]:
            click.echo("  affects more than these")
    if damages:
        raise ExitCode(FAILED)
    if not as_json:
        click.echo("no damage found" if deep else "no damage found; --deep also reads every byte")


@click.command("recover")
@options.json_option
def recover(as_json: bool) -> None:
    """Rebuild the index from the packs and refs alone; commits and bytes are those of the object store."""
    from pfs.store import locate as locate_at
    from pfs.upkeep.recover import recover as rebuild

    with Bar("recovering") as bar:
        report = rebuild(locate_at(wiring.store_location()), unlock=unlocking.unlock, progress=bar)
    if as_json:
        print_json(
            {
                "name": "recover",
                "packs": report.packs,
                "chunks": report.chunks,
                "repos": report.repos,
                "commits": report.commits,
                "size_bytes": report.size_bytes,
                "damaged": list(report.damaged),
                "salvaged": list(report.salvaged),
                "renewed": list(report.renewed),
            }
        )
    else:
        click.echo(
            f"found {counted(report.commits, 'commit')} in {counted(report.repos, 'repo')}, "
            f"{counted(report.chunks, 'chunk')} in {counted(report.packs, 'pack')} ({human_size(report.size_bytes)})"
        )
        for name in report.renewed:
            print(f"it was lost or damaged, and is begun anew: {name}", file=sys.stderr)
        for name in report.damaged:
            print(f"damaged, left out: {name}", file=sys.stderr)
        for name in report.salvaged:
            print(f"damaged, its whole records were kept: {name}; `pfs fsck` says what is affected", file=sys.stderr)
    if report.damaged or report.salvaged:
        raise ExitCode(STORAGE)
