"""Commands on the key slots of an encrypted store: list-keyslot, create-keyslot, update-keyslot, delete-keyslot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli import options, unlocking, wiring
from cli.exits import usage_error
from cli.output import Json, emit, field, timestamp

if TYPE_CHECKING:
    from pfs.backends.base import Backend
    from pfs.backends.encrypted_key import StoreKey


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of slots; silent where there are none."""
    from pfs.encryption.keeper import list_slots
    from pfs.errors import PfsError

    try:
        with _slots(ctx.find_root().params.get("store"), asks=False) as (backend, key):
            return [info.name for info in list_slots(backend, key) if info.name.startswith(incomplete)]
    except (PfsError, OSError):
        return []


_name = click.argument("name", metavar="NAME", shell_complete=_complete)


@click.command("list-keyslot")
@options.json_option
def list_keyslot(as_json: bool) -> None:
    """List what opens the store: passphrases and key files, by the names of their slots."""
    from pfs.encryption.keeper import list_slots

    with _slots(wiring.store_location()) as (backend, key):
        records: list[dict[str, Json]] = [
            {"name": info.name, "kind": info.kind, "created": timestamp(info.created_ns)}
            for info in list_slots(backend, key)
        ]
    emit(records, [("NAME", field("name")), ("KIND", field("kind")), ("CREATED", field("created"))], as_json=as_json)


@click.command("create-keyslot")
@click.argument("name", metavar="NAME")
@unlocking.options("that shall open the store, too")
def create_keyslot(name: str, passphrase_file: str | None, key_file: str | None) -> None:
    """Let another passphrase or key file open the store; a key file that is not there is made."""
    from pfs.encryption.keeper import add_slot

    with _slots(wiring.store_location()) as (backend, key):
        add_slot(backend, key, unlocking.fresh(passphrase_file, key_file, what=f"key slot {name!r}"), name=name)


@click.command("update-keyslot")
@_name
@unlocking.options("that shall open the store instead")
def update_keyslot(name: str, passphrase_file: str | None, key_file: str | None) -> None:
    """Put another passphrase or key file in the place of the one in a slot: at once, and nothing else is written."""
    from pfs.encryption.keeper import check_slot, replace_slot

    with _slots(wiring.store_location()) as (backend, key):
        check_slot(backend, key, name=name)
        replace_slot(backend, key, unlocking.fresh(passphrase_file, key_file, what=f"key slot {name!r}"), name=name)


@click.command("delete-keyslot")
@_name
def delete_keyslot(name: str) -> None:
    """Let a passphrase or key file open the store no more; the last one stays."""
    from pfs.encryption.keeper import remove_slot

    with _slots(wiring.store_location()) as (backend, key):
        remove_slot(backend, key, name=name)


@contextmanager
def _slots(location: str | None, *, asks: bool = True) -> Iterator[tuple[Backend, StoreKey]]:
    """Give the encrypted objects of a store and its key; the index is not needed, nor looked at."""
    from contextlib import closing

    from pfs.backends.encrypted import EncryptedBackend
    from pfs.config import locate, open_objects

    folder = locate(location)
    with closing(open_objects(folder, unlock=unlocking.unlock if asks else unlocking.unlock_unasked)) as backend:
        if not isinstance(backend, EncryptedBackend):
            raise usage_error(f"the store at {backend.location} is not encrypted: it has no key slots")
        yield backend, backend.key
