"""Storage classes: `pfs tier`, `pfs set-tiering`, `pfs thaw`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from cli import options, wiring
from cli.durations import human_duration, seconds
from cli.output import Record, human_size, print_json
from cli.progress import Bar
from pfs.errors import ThawingError

if TYPE_CHECKING:
    from pfs.refs.tiering import Rule, Speed
    from pfs.store import Store
    from pfs.tiers.thaw import Thawing
    from pfs.tiers.tier import Tiered

_SECOND_NS: Final = 1_000_000_000
_FIRST_S, _LONGEST_S = 1.0, 300.0
_SPEEDS: Final = ("Expedited", "Standard", "Bulk")

_older = click.option("--older-than", metavar="D", help="Age of commits: 90d, 26w. Default: as set, or 90d.")
_class = click.option(
    "--storage-class", metavar="C", help="Such as STANDARD_IA, GLACIER_IR, DEEP_ARCHIVE; STANDARD brings all back."
)
_heads = click.option("--heads/--no-heads", default=None, help="Whether heads of branches go to archives as well.")
_speed = click.option("--speed", type=click.Choice(_SPEEDS), help="How fast it is restored, as AWS names it.")


@click.command("tier")
@_older
@_class
@_heads
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and change nothing.")
@options.json_option
def tier(older_than: str | None, storage_class: str | None, heads: bool | None, dry_run: bool, as_json: bool) -> None:
    """Move data to a cheaper storage class that only old commits need. For stores in buckets.

    Packs of chunks go that nothing reads but commits finished longer ago than --older-than; a file that a younger
    commit still has stays. What is not given is as `set-tiering` says. GLACIER and DEEP_ARCHIVE are archives: what is
    there is read after `pfs thaw`, which takes hours; heads of branches stay out of them without --heads.
    """
    from pfs.refs.tiering import read_rule
    from pfs.tiers.tier import tier as move

    with wiring.open_store() as store, Bar("moving") as bar:
        rule = _with(read_rule(store.backend), older_than=older_than, storage_class=storage_class, heads=heads)
        done = move(store, rule, dry_run=dry_run, progress=bar)
    if as_json:
        print_json(tier_record(done))
    else:
        click.echo(tier_line(done))


def tier_record(done: Tiered) -> Record:
    """Return what was moved as JSON."""
    return {
        "name": "tier",
        "dry_run": done.dry_run,
        "storage_class": done.storage_class,
        "packs": done.packs,
        "bytes": done.bytes,
        "needed": done.needed,
        "there": done.there,
        "left": done.left,
    }


def tier_line(done: Tiered) -> str:
    """Return what was moved for people."""
    verb = "would move" if done.dry_run else "moved"
    rest = [f"{done.there} are there"] if done.there else []
    rest += [f"{done.needed} are needed by younger commits"] if done.needed else []
    rest += [f"{done.left} stay for now (small, partly dead, archived, or new in their class)"] if done.left else []
    more = f"; {', '.join(rest)}" if rest else ""
    return f"{verb} {_packs(done.packs)} to {done.storage_class}: {human_size(done.bytes)}{more}"


@click.command("set-tiering")
@_older
@_class
@_heads
@click.option("--restore-days", type=click.IntRange(1, 3650), help="How long what is restored can be read. Default: 7.")
@_speed
@click.option("--off", is_flag=True, help="Move nothing by itself any more.")
@options.json_option
def set_tiering(
    older_than: str | None,
    storage_class: str | None,
    heads: bool | None,
    restore_days: int | None,
    speed: Speed | None,
    off: bool,
    as_json: bool,
) -> None:
    """Let `pfs serve` do once a day what `pfs tier` does, with these options; it does nothing of it otherwise.

    What is not given stays as it is; --restore-days and --speed say how archived data is restored when it is read.
    Without options: shows what is set.
    """
    from pfs.refs.tiering import read_rule, write_rule

    with wiring.open_store() as store:
        old = read_rule(store.backend)
        rule = _with(old, older_than=older_than, storage_class=storage_class, heads=heads)
        rule = _restoring(rule, days=restore_days, speed=speed)
        moves = (older_than, storage_class, heads) != (None, None, None)
        rule = replace(rule, on=not off and (rule.on or moves))
        if rule != old:
            _check_bucket(store)
            write_rule(store.backend, rule)
    if as_json:
        print_json(_rule_record(rule))
    else:
        click.echo(_rule_line(rule))


def _check_bucket(store: Store) -> None:
    if store.backend.parallel == 1:
        store.backend.set_tier([], "STANDARD")  # a disk refuses that, saying why


def _rule_record(rule: Rule) -> Record:
    return {
        "name": "tiering",
        "on": rule.on,
        "older_than_s": rule.older_ns // _SECOND_NS,
        "storage_class": rule.storage_class,
        "heads": rule.heads,
        "restore_days": rule.restore_days,
        "restore_speed": rule.restore_speed,
    }


def _rule_line(rule: Rule) -> str:
    restored = f"archived data is restored for {rule.restore_days} days, {rule.restore_speed}"
    if not rule.on:
        return f"nothing is moved by itself; {restored}"
    heads = ", heads too" if rule.heads else ""
    age = human_duration(rule.older_ns / _SECOND_NS)
    return f"`pfs serve` moves data to {rule.storage_class} that only commits older than {age} need{heads}; {restored}"


@click.command("thaw")
@options.address_argument(metavar="REPO@REF[:PATH]")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it can be read. Default: as set-tiering says.")
@_speed
@click.option("--wait", is_flag=True, help="Wait until everything can be read.")
@options.json_option
def thaw(address: str, days: int | None, speed: Speed | None, wait: bool, as_json: bool) -> None:
    """Have files restored that are in an archive (GLACIER, DEEP_ARCHIVE), all that a path needs at once.

    Done when it ends with 0; with 6 it is on the way, which takes minutes to two days by class and speed: run it
    again, or read then. What is not archived needs nothing.
    """
    from pfs.refs.tiering import read_rule
    from pfs.tiers.thaw import archived_packs
    from pfs.tiers.thaw import thaw as ask

    where = wiring.address(address, ref=True)
    with wiring.open_store() as store, Bar("looking") as bar:
        rule = _restoring(read_rule(store.backend), days=days, speed=speed)
        packs = archived_packs(store, wiring.view_of(store, where), where.path or "/", progress=bar)
        found, pause_s = ask(store, packs, rule), _FIRST_S
        while wait and not found.done:
            time.sleep(pause_s)
            found, pause_s = ask(store, packs, rule), min(2 * pause_s, _LONGEST_S)
    if as_json:
        print_json({"name": "thaw", "packs": found.packs, "ready": found.ready, "bytes": found.bytes})
    elif found.done:
        click.echo(_thaw_line(found))
    if not found.done:
        size = f"{human_size(found.bytes)} in {_packs(found.packs)}"
        raise ThawingError(f"{where} ({size})", f"{found.ready} can be read by now")


def _thaw_line(found: Thawing) -> str:
    if not found.packs:
        return "nothing of it is in an archive: it can be read"
    return f"restored: {human_size(found.bytes)} in {_packs(found.packs)} can be read"


def _packs(number: int) -> str:
    return f"{number} data pack{'' if number == 1 else 's'}"


def _with(rule: Rule, *, older_than: str | None, storage_class: str | None, heads: bool | None) -> Rule:
    from pfs.refs.tiering import check_class

    older_ns = rule.older_ns if older_than is None else seconds(older_than) * _SECOND_NS
    held = rule.storage_class if storage_class is None else check_class(storage_class)
    return replace(rule, older_ns=older_ns, storage_class=held, heads=rule.heads if heads is None else heads)


def _restoring(rule: Rule, *, days: int | None, speed: Speed | None) -> Rule:
    return replace(rule, restore_days=days or rule.restore_days, restore_speed=speed or rule.restore_speed)
