"""Commands on secrets."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_one, field, time_of
from cli.pairs import pairs
from cli.pipeline_records import secret_record
from cli.spec_files import Given
from pfs.errors import ConflictError, InvalidInputError
from pfs.shorten import quoted


@click.command("create-secret")
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("values", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("-f", "--file", "source", metavar="FILE|URL|-", help="JSON: a mapping, or a Secret of Kubernetes.")
@click.option("--from-env", "variables", multiple=True, metavar="[KEY=]VAR", help="From a variable; repeatable.")
@click.option("--from-file", "files", multiple=True, metavar="KEY=FILE", help="From a file as it is; repeatable.")
@click.option("--replace", is_flag=True, help="Give a secret that exists these values instead of its own.")
def create_secret(
    name: str | None,
    values: tuple[str, ...],
    source: str | None,
    variables: tuple[str, ...],
    files: tuple[str, ...],
    replace: bool,
) -> None:
    """Make a secret: keys with values, encrypted in the store, for commands of pipelines.

    What stands in a command line is seen by others and kept by shells: -f -, --from-env and --from-file keep it out.
    """
    from pps.secret_store import Secrets

    if name is not None and "=" in name:
        raise usage_error("the name of the secret is missing: write create-secret NAME KEY=VALUE")
    named, found = (None, {}) if source is None else _document(source)
    if name is not None and named is not None and named != name:
        raise usage_error(f"the file has the secret {quoted(named)}, not {quoted(name)}")
    name = name or named
    if name is None:
        raise usage_error("the name of the secret is missing: write create-secret NAME KEY=VALUE")
    given = [*_plain(values), *_of_environment(variables), *_of_files(files)]
    for key, value in given:
        if key in found:
            raise usage_error(f"the key {quoted(key)} is given twice")
        found[key] = value
    with wiring.open_store() as store:
        Secrets(store).create(name, found, replace=replace)


def _plain(values: tuple[str, ...]) -> list[tuple[str, bytes]]:
    for value in values:
        if "=" not in value:
            # Not shown: it may be the value that somebody meant to keep.
            raise usage_error("a value has no key: write KEY=VALUE")
    return [(key, value.encode(errors="surrogateescape")) for key, value in pairs("KEY=VALUE", values).items()]


def _of_environment(variables: tuple[str, ...]) -> list[tuple[str, bytes]]:
    found = []
    for given in variables:
        key, equals, variable = given.partition("=")
        value = os.environb.get((variable if equals else key).encode())
        if value is None:
            raise usage_error(f"--from-env: the variable {quoted(variable or key)} is not set")
        found.append((key, value))
    return found


def _of_files(files: tuple[str, ...]) -> list[tuple[str, bytes]]:
    return [(key, Path(file).read_bytes()) for key, file in pairs("--from-file", files).items()]


def _document(source: str) -> tuple[str | None, dict[str, bytes]]:
    """Return the name, if it says one, and the values of a secret in a file. Messages show no values."""
    found = Given(source, None, ()).read()
    try:
        document = json.loads(found.text)
    except ValueError:
        raise InvalidInputError(f"{found.name} is not JSON: give a mapping from key to value") from None
    if not isinstance(document, dict):
        raise InvalidInputError(f"{found.name} must be a mapping from key to value")
    if document.get("kind") != "Secret":
        return None, _texts(document, found.name)
    plain, coded = document.get("stringData") or {}, document.get("data") or {}
    name = (document.get("metadata") or {}).get("name")
    try:
        decoded = {key: b64decode(text, validate=True) for key, text in _texts(coded, found.name).items()}
    except ValueError:
        raise InvalidInputError(
            f"{found.name}: a value in 'data' is not base64; plain ones are in 'stringData'"
        ) from None
    return name, decoded | _texts(plain, found.name)


def _texts(values: Mapping[str, object], name: str) -> dict[str, bytes]:
    found = {}
    for key, value in values.items():
        if not isinstance(value, str):
            raise InvalidInputError(f"{name}: the value of {quoted(key)} is not a string")
        found[key] = value.encode()
    return found


@click.command("list-secret")
@options.json_option
def list_secret(as_json: bool) -> None:
    """List secrets with the names of their keys; values are never shown."""
    from pps.secret_store import Secrets

    columns = [("NAME", field("name")), ("KEYS", _keys), ("CREATED", time_of("created"))]
    with wiring.open_store() as store:
        emit(map(secret_record, Secrets(store).list()), columns, as_json=as_json)


def _keys(record: Record) -> str:
    keys = record["keys"]
    return ", ".join(map(str, keys)) if isinstance(keys, list) else ""


@click.command("inspect-secret")
@click.argument("name", metavar="NAME")
@options.json_option
def inspect_secret(name: str, as_json: bool) -> None:
    """Show the names of a secret's keys, and which pipelines use it."""
    from pps.pipelines.pipelines import Pipelines
    from pps.secret_store import Secrets

    with wiring.open_store() as store:
        record = secret_record(Secrets(store).inspect(name))
        emit_one({**record, "pipelines": Pipelines(store).using_secret(name)}, as_json=as_json)


@click.command("delete-secret")
@click.argument("name", metavar="NAME")
@click.option("-f", "--force", is_flag=True, help="Even when pipelines use it: their datums fail then.")
def delete_secret(name: str, force: bool) -> None:
    """Take a secret away."""
    from pps.pipelines.pipelines import Pipelines
    from pps.secret_store import Secrets

    with wiring.open_store() as store:
        using = [] if force else Pipelines(store).using_secret(name)
        if using:
            raise ConflictError(f"secret {name!r} is used by {', '.join(using)}: --force takes it away all the same")
        Secrets(store).delete(name)
