"""Commands on commits."""

from __future__ import annotations

from itertools import dropwhile, islice, takewhile

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_one, field, note, size_of, time_of
from cli.records import commit_record
from pfs.shorten import quoted


def state(record: Record) -> str:
    """Return one word on a commit: open, failed or finished."""
    if record["finished"] is None:
        return "open"
    return "failed" if record["error"] else "finished"


@click.command("start-commit")
@options.address_argument(metavar="REPO@BRANCH")
@click.option(
    "-p",
    "--parent",
    help="Start from this commit instead of the head of the branch; of a failed one, from the last good one.",
)
@click.option("-m", "--message", default="", help="Say what the commit is for.")
def start_commit(address: str, parent: str | None, message: str) -> None:
    """Open a commit on a branch and print its id; writes to the branch go into it until it is finished."""
    repo, branch = wiring.branch_address(address)
    named = own_ref(repo, parent)
    with wiring.open_changes() as changes:
        place = changes.repo(repo)
        info = place.start_commit(branch, parent=named, message=message)
        failed = None if named is None else place.inspect(named)
        if failed is not None and failed.error is not None:
            note(f"{repo}@{failed.id} ended with an error: this starts from {info.parents[0]}, the last without one")
        click.echo(info.id)


def own_ref(repo: str, ref: str | None) -> str | None:
    """Return a ref given as ``C`` or ``R@C`` where the repo is named already."""
    if ref is None or "@" not in ref:
        return ref
    named, own = wiring.branch_address(ref)
    if named != repo:
        raise usage_error(f"{quoted(ref)} is of another repo than {repo!r}")
    return own


@click.command("finish-commit")
@options.address_argument(metavar="REPO@BRANCH-OR-COMMIT")
@click.option("-m", "--message", help="Replace the message.")
@click.option("--error", metavar="TEXT", help="Say that it failed: it is kept, and does not become the head.")
def finish_commit(address: str, message: str | None, error: str | None) -> None:
    """Finish the open commit of a branch: it becomes immutable and the head."""
    repo, ref = wiring.branch_address(address)
    if error is not None and not error.strip():
        raise usage_error("--error needs a text: what went wrong")
    with wiring.open_changes() as changes:
        click.echo(changes.repo(repo).finish_commit(ref, message=message, error=error).id)


@click.command("clear-commit")
@options.address_argument(metavar="REPO@BRANCH-OR-COMMIT")
def clear_commit(address: str) -> None:
    """Take all changes out of an open commit: it stays open, with the files of its parent."""
    repo, ref = wiring.branch_address(address)
    with wiring.open_store(alone="clear-commit") as store:
        click.echo(store.repo(repo).clear_commit(ref).id)


@click.command("inspect-commit")
@options.address_argument(metavar="REPO@COMMIT")
@click.option("--wait", is_flag=True, help="Wait until it is finished; a branch means its open commit.")
@options.json_option
def inspect_commit(address: str, wait: bool, as_json: bool) -> None:
    """Show one commit: sizes, parents, provenance, error."""
    from pfs.changes.waiting import wait_commit

    repo, ref = wiring.branch_address(address)
    with wiring.open_store() as store:
        info = wait_commit(store, store.repo(repo).name, ref) if wait else wiring.commit_of(store, repo, ref)
        emit_one(commit_record(info), as_json=as_json)


@click.command("list-commit")
@options.address_argument(metavar="REPO[@BRANCH]")
@click.option("-n", "--number", type=click.IntRange(min=0), help="At most so many; 0 is all.")
@click.option("--from", "after", metavar="COMMIT", help="Only commits newer than this one.")
@click.option("--to", "last", metavar="COMMIT", help="Only this commit and what it comes from.")
@click.option("--origin", type=click.Choice(["user", "auto"]), help="Only those that users began, or the system.")
@click.option("--reverse", is_flag=True, help="The oldest first.")
@options.json_option
@options.raw_option
def list_commit(
    address: str,
    number: int | None,
    after: str | None,
    last: str | None,
    origin: str | None,
    reverse: bool,
    as_json: bool,
    raw: bool,
) -> None:
    """List commits, newest first; without a branch, all of the repo with open and failed ones."""
    where = wiring.address(address)
    columns = [
        ("ID", field("id")),
        ("BRANCH", field("branch")),
        ("STATE", state),
        ("FINISHED", time_of("finished")),
        ("SIZE", size_of(raw=raw)),
        ("FILES", field("file_count")),
        ("MESSAGE", field("message", default="")),
    ]
    with wiring.open_store() as store:
        repo = store.repo(where.repo)
        found = repo.commits(where.ref)
        if last is not None:
            end = repo.inspect(own_ref(where.repo, last) or "").id
            found = dropwhile(lambda info: info.id != end, found)
        if after is not None:
            start = repo.inspect(own_ref(where.repo, after) or "").id
            found = takewhile(lambda info: info.id != start, found)
        if origin is not None:
            found = (info for info in found if info.origin == origin)
        if reverse:
            found = reversed(list(found))
        emit(map(commit_record, islice(found, number or None)), columns, as_json=as_json)
