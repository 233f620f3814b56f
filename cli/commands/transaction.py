"""Commands on transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options, transactions, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_with_table, field, print_json_array, print_table, time_of
from cli.records import commit_record, transaction_record
from pfs.errors import ConflictError, PathConflictError

if TYPE_CHECKING:
    from pfs.store import Store

_id = click.argument("id", metavar="[ID]", required=False)


@click.command("start-transaction")
@click.option("-m", "--message", default="", help="The message of its commits.")
def start_transaction(message: str) -> None:
    """Start a transaction, make it the active one, and print its id.

    Until it is finished or deleted, commands that change repos put what they do into it, and others see nothing of it.
    With PFS_TRANSACTION set, that says which one is active.
    """
    from pfs.transactions.transaction import begin, list_transactions

    with wiring.open_store() as store:
        active = transactions.active_id(store)
        if not transactions.is_chosen_by_variable() and active in {info.id for info in list_transactions(store)}:
            raise ConflictError(f"transaction {active} is active: finish, delete or stop it first")
        id = begin(store, message=message).id
        if not transactions.is_chosen_by_variable():
            transactions.activate(store, id)
        click.echo(id)


@click.command("stop-transaction")
def stop_transaction() -> None:
    """Leave the active transaction, which stays as it is; commands change repos at once again."""
    with wiring.open_store() as store:
        transactions.deactivate(store)


@click.command("resume-transaction")
@click.argument("id", metavar="ID")
def resume_transaction(id: str) -> None:
    """Make a transaction the active one, and print its id."""
    with wiring.open_store() as store:
        found = _named(store, id)
        transactions.activate(store, found)
        click.echo(found)


@click.command("finish-transaction")
@_id
@options.json_option
def finish_transaction(id: str | None, as_json: bool) -> None:
    """Publish the active transaction, or the one named, all at once; print REPO@ID of each of its commits.

    Where another writer changed the same path since, or something is not possible any more, nothing is published, and
    the transaction stays as it is.
    """
    from pfs.transactions.transaction import resume

    with wiring.open_store() as store:
        found = _named(store, id)
        try:
            commits = resume(store, found).finish()
        except PathConflictError as error:
            stays = (
                "nothing was published and the transaction stays; to go by what is there now, `pfs delete-transaction` "
                "and do it again in a new one"
            )
            raise ConflictError(f"{error.what}: {stays}") from error
        transactions.deactivate(store, found)
        if as_json:
            print_json_array(map(commit_record, commits))
        else:
            for info in commits:
                click.echo(f"{info.repo}@{info.id}")


@click.command("delete-transaction")
@_id
def delete_transaction(id: str | None) -> None:
    """Give the active transaction up, or the one named, with everything in it."""
    from pfs.transactions.transaction import resume

    with wiring.open_store() as store:
        found = _named(store, id)
        resume(store, found).drop()
        transactions.deactivate(store, found)


@click.command("list-transaction")
@options.json_option
def list_transaction(as_json: bool) -> None:
    """List the transactions that are not finished, the oldest first."""
    from pfs.transactions.transaction import list_transactions

    columns = [
        ("ID", field("id")),
        ("STATE", _state),
        ("CREATED", time_of("created")),
        ("OPERATIONS", _count),
        ("MESSAGE", field("message", default="")),
    ]
    with wiring.open_store() as store:
        active = transactions.active_id(store)
        emit((transaction_record(info, active=active) for info in list_transactions(store)), columns, as_json=as_json)


@click.command("inspect-transaction")
@_id
@options.json_option
def inspect_transaction(id: str | None, as_json: bool) -> None:
    """Show the active transaction, or the one named: what was put into it, and its commits."""
    from pfs.transactions import transaction

    columns = [("REPO", field("repo")), ("BRANCH", field("branch")), ("COMMIT", field("commit"))]
    with wiring.open_store() as store:
        info = transaction.inspect_transaction(store, _named(store, id))
        record = transaction_record(info, active=transactions.active_id(store))
        shown = record if as_json else {**record, "operations": len(info.operations)}
        emit_with_table(shown, "commits", columns, as_json=as_json)
        if not as_json and info.operations:
            click.echo()
            print_table(({"done": line} for line in info.operations), [("OPERATION", field("done"))])


def _named(store: Store, id: str | None) -> str:
    """Return the full id of the transaction that the user means."""
    from pfs.transactions.transaction import inspect_transaction

    wanted = transactions.active_id(store) if id is None else id
    if wanted is None:
        raise usage_error("no transaction is active: name one, `pfs list-transaction` shows them")
    return inspect_transaction(store, wanted).id


def _state(record: Record) -> str:
    return "active" if record["active"] else str(record["state"])


def _count(record: Record) -> str:
    operations = record["operations"]
    assert isinstance(operations, list)
    return str(len(operations))
