"""Commands on branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_one, field, note, time_of
from cli.records import branch_record, branch_text

if TYPE_CHECKING:
    from pfs.changes.branches import Triggered
    from pfs.model import BranchRef
    from pfs.repo import Repo
    from pfs.transactions.transaction import TransactionRepo

_NEVER = ":never"


@click.command("create-branch")
@options.address_argument(metavar="REPO@BRANCH")
@click.option("--head", metavar="COMMIT", help="The commit it points to; default: none yet.")
@click.option(
    "-p",
    "--provenance",
    multiple=True,
    metavar="REPO@BRANCH",
    help="A branch of another repo that it is computed from; may be repeated. REPO@BRANCH:never: one whose commits "
    "open none here. Without this option what was said before stays.",
)
@click.option("--no-provenance", is_flag=True, help="It is computed from nothing any more.")
@click.option(
    "--trigger", "watched", metavar="BRANCH", help="Follow BRANCH of the same repo, when the conditions hold."
)
@click.option("--trigger-size", metavar="SIZE", help="When the files grew by SIZE: 100MB, 1.5GiB.")
@click.option("--trigger-commits", type=click.IntRange(0), metavar="N", help="When N commits came.")
@click.option(
    "--trigger-rate", metavar="SPEC", help="At most once a tick of a schedule: '0 * * * *', @daily, @every 1h."
)
@click.option("--trigger-cron", metavar="SPEC", help="At each tick of a schedule (UTC), and at no other time.")
@click.option("--trigger-all", is_flag=True, help="When all of the conditions hold, not just one.")
@click.option("--no-trigger", is_flag=True, help="Follow no branch any more.")
def create_branch(
    address: str,
    head: str | None,
    provenance: Sequence[str],
    no_provenance: bool,
    no_trigger: bool,
    **conditions: str | int | bool | None,
) -> None:
    """Make a branch, or change one: its head, what it is computed from, or what it follows.

    When a branch that it is computed from gets a new commit, an open commit of the same id appears on it: put files
    into it and finish it.
    """
    repo, branch = wiring.branch_address(address)
    if head is not None and "@" in head:
        head = wiring.branch_address(head)[1]
    if provenance and no_provenance:
        raise usage_error("give either --provenance or --no-provenance")
    sources, never = _sources(provenance)
    wanted = sources if sources or no_provenance else None
    trigger = _trigger(conditions, clear=no_trigger)
    with wiring.open_changes() as changes:
        place = changes.repo(repo)
        unknown = None if isinstance(trigger, str) or _is_there(place, trigger.branch) else trigger.branch
        place.create_branch(branch, head=head, provenance=wanted, never=never, trigger=trigger)
    if unknown is not None:
        note(f"there was no branch {repo}@{unknown}, which {repo}@{branch} follows now: it was made, without a commit")


def _sources(texts: Sequence[str]) -> tuple[list[BranchRef], list[BranchRef]]:
    """Return the sources that options name, and those of them whose commits open none.

    Raises:
        InvalidInputError: one is no branch, or is named with ``:never`` and without.
    """
    never = [_source(text) for text in texts if text.endswith(_NEVER)]
    always = [_source(text) for text in texts if not text.endswith(_NEVER)]
    both = next((source for source in never if source in always), None)
    if both is not None:
        place = f"{both.repo}@{both.branch}"
        raise usage_error(f"{place} is given both with {_NEVER} and without: its commits open one here, or never do")
    return [_source(text) for text in texts], never


def _source(text: str) -> BranchRef:
    from pfs.model import BranchRef

    place = text.removesuffix(_NEVER)
    if ":" in place:
        raise usage_error(f"{text!r} is no branch to be computed from: write REPO@BRANCH or REPO@BRANCH{_NEVER}")
    return BranchRef(*wiring.branch_address(place))


def _is_there(repo: Repo | TransactionRepo, branch: str) -> bool:
    from pfs.errors import BranchEmptyError, CommitNotFoundError

    try:
        repo.inspect(branch)
    except BranchEmptyError:
        return True
    except CommitNotFoundError:
        return False
    return True


def _trigger(conditions: dict[str, str | int | bool | None], *, clear: bool) -> Triggered:
    from pfs.model import Trigger
    from pfs.provenance.trigger import parse_size

    watched = conditions.pop("watched")
    given = any(conditions.values())
    if watched is None and given:
        raise usage_error("name the branch to follow: --trigger BRANCH")
    if watched is None or clear:
        if clear and (given or watched is not None):
            raise usage_error("give either --trigger or --no-trigger")
        return "none" if clear else "keep"
    size = conditions["trigger_size"]
    return Trigger(
        branch=str(watched),
        size_bytes=None if size is None else parse_size(str(size)),
        commits=int(conditions["trigger_commits"] or 0),
        rate=str(conditions["trigger_rate"] or ""),
        cron=str(conditions["trigger_cron"] or ""),
        all=bool(conditions["trigger_all"]),
    )


@click.command("list-branch")
@options.address_argument("repo", metavar="REPO")
@options.json_option
def list_branch(repo: str, as_json: bool) -> None:
    """List the branches of a repo by name."""
    columns = [
        ("NAME", field("name")),
        ("HEAD", field("head")),
        ("UPDATED", time_of("updated")),
        ("COMPUTED FROM", _said("provenance")),
        ("FOLLOWS", _said("trigger")),
    ]
    with wiring.open_store() as store:
        branches, graph = store.repo(wiring.repo_name(repo)).branches(), store.branch_graph()
        emit((branch_record(info, graph) for info in branches), columns, as_json=as_json)


def _said(name: str) -> Callable[[Record], str]:
    return lambda record: str(branch_text(record)[name] or "-")


@click.command("inspect-branch")
@options.address_argument(metavar="REPO@BRANCH")
@options.json_option
def inspect_branch(address: str, as_json: bool) -> None:
    """Show one branch: its head, what it is computed from, what is computed from it, what it follows."""
    repo, branch = wiring.branch_address(address)
    with wiring.open_store() as store:
        record = branch_record(store.repo(repo).branch(branch), store.branch_graph())
        emit_one(record if as_json else branch_text(record), as_json=as_json)


@click.command("delete-branch")
@options.address_argument(metavar="REPO@BRANCH")
@click.option("-f", "--force", is_flag=True, help="Even when others are computed from it or follow it; they lose that.")
def delete_branch(address: str, force: bool) -> None:
    """Take a branch away; its commits stay in trash for 30 days."""
    repo, branch = wiring.branch_address(address)
    with wiring.open_changes() as changes:
        changes.repo(repo).delete_branch(branch, force=force)
