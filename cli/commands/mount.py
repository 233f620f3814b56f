"""mount and umount: the store as a read-only folder."""

from __future__ import annotations

from pathlib import Path

import click

from cli import stdio, wiring
from cli.exits import usage_error
from pfs.paths import Address
from pfs.shorten import quoted

_PLACE = click.Path(path_type=Path, readable=False)  # what a killed mount left cannot be looked at, and is to be named


@click.command("mount")
@click.argument("place", metavar="DIR", type=_PLACE)
@click.argument("only", metavar="[REPO[@COMMIT]]...", nargs=-1)
@click.option("--daemon", is_flag=True, help="Return when it is mounted; `pfs umount DIR` ends it.")
def mount(place: Path, only: tuple[str, ...], daemon: bool) -> None:
    """Show the store, or only some repos or commits, in the empty folder DIR until Ctrl-C; read-only.

    The files are at DIR/repo/branch/path. Tags, commit ids and any other ref work in place of the branch. A branch
    shows its head of each moment; a file that is open stays what it was.
    """
    from cli import mounting

    wanted = [_wanted(text) for text in only]
    mounting.check_fuse()
    mounting.check_place(place)
    if daemon:
        _check_wanted(wanted)
        mounting.serve_behind(place, wanted)
        click.echo(f"mounted at {place} ; `pfs umount {place}` ends it")
        return

    def mounted() -> None:
        stdio.announce(f"mounted at {place} ; Ctrl-C or `pfs umount {place}` ends it")

    mounting.serve(place, wanted, on_mounted=mounted)


def _wanted(text: str) -> Address:
    where = wiring.address(text)
    if where.path is not None:
        raise usage_error(f"a path is not wanted in {quoted(text)}: write repo or repo@branch")
    return where


def _check_wanted(wanted: list[Address]) -> None:
    """Find what is wrong with the store or the names before the process that would say so has no terminal."""
    from pfs.mount.tree import MountTree

    with wiring.open_store() as store:
        MountTree(store, wanted)


@click.command("umount")
@click.argument("place", metavar="DIR", type=_PLACE)
def umount(place: Path) -> None:
    """End what `pfs mount` shows in the folder DIR."""
    from cli.mounting import unmount

    unmount(place)
