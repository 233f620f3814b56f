"""Commands on S3 keys: create-key, list-key, delete-key, credentials."""

from __future__ import annotations

import shlex

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_one, field
from cli.records import key_record


@click.command("create-key")
@click.argument("name", metavar="NAME")
@click.option(
    "--role",
    type=click.Choice(["reader", "writer", "owner"]),
    default="writer",
    show_default=True,
    help="What the key may do: read; write too; or everything, such as making repos.",
)
@click.option("--repo", "repos", multiple=True, metavar="REPO", help="Only for these repos; default: all.")
@options.json_option
def create_key(name: str, role: str, repos: tuple[str, ...], as_json: bool) -> None:
    """Make an S3 key; its secret is shown now and never again."""
    from pfs.keys import Keys

    with wiring.open_store() as store:
        key, secret = Keys(store).create(name, role=role, repos=repos)
        emit_one({**key_record(key), "secret_key": secret}, as_json=as_json)


@click.command("list-key")
@options.json_option
def list_key(as_json: bool) -> None:
    """List the S3 keys, without their secrets."""
    from pfs.keys import Keys

    columns = [
        ("NAME", field("name")),
        ("ACCESS KEY", field("access_key")),
        ("ROLE", field("role")),
        ("REPOS", _repos),
    ]
    with wiring.open_store() as store:
        emit(map(key_record, Keys(store).list()), columns, as_json=as_json)


def _repos(record: Record) -> str:
    repos = record["repos"]
    return ", ".join(str(repo) for repo in repos) if isinstance(repos, list) and repos else "all"


@click.command("delete-key")
@click.argument("name", metavar="NAME")
def delete_key(name: str) -> None:
    """Take an S3 key away; it is refused from now on."""
    from pfs.keys import Keys

    with wiring.open_store() as store:
        Keys(store).delete(name)


@click.command("credentials")
@click.option("--env", "as_env", is_flag=True, help='As `export` lines for a shell: eval "$(pfs credentials --env)".')
@options.json_option
def credentials(as_env: bool, as_json: bool) -> None:
    """Print the root key of the store, for S3 clients."""
    from pfs.keys import Keys

    with wiring.open_store() as store:
        if as_env and as_json:
            raise usage_error("--env and --json are two forms of the same: give one")
        key, secret = Keys(store).root()
        if as_env:
            click.echo(f"export AWS_ACCESS_KEY_ID={shlex.quote(key.access_key)}")
            click.echo(f"export AWS_SECRET_ACCESS_KEY={shlex.quote(secret)}")
        else:
            emit_one({"name": key.name, "access_key": key.access_key, "secret_key": secret}, as_json=as_json)
