"""The programs that take part in the suite `files`, each with the settings that its own manual suggests for the data.

Commands are lines of sh. They find in their environment: SRC (a folder with the data as it is now), PLACE (a folder of
their own, empty at the start of a round), OUT (an empty folder to restore into), N (the number of the version, from 1),
FILE (the path below SRC of the data's only file, or of the one that changed), JOBS (cores), Z (1 for data that is to
be compressed).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import own
from benchmarks.install_peers import program
from benchmarks.installing import FOLDER

Dataset = Literal["tiny", "medium", "text", "small", "large"]
ALL: tuple[Dataset, ...] = ("tiny", "medium", "text", "small", "large")


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program. ``kept`` is what counts as stored bytes, below PLACE."""

    name: str
    program: str
    store: str
    kept: str
    kind: Literal["ours", "peer", "floor"] = "peer"
    prepare: str = "true"
    skips: tuple[str, ...] = ()
    """Cases that it has no part in."""
    one: str = ""
    """Store FILE alone, by name; else ``store``."""
    restore: str = ""
    before_restore: str = "true"
    restored: str = "$OUT"
    datasets: tuple[Dataset, ...] = ALL
    in_place: bool = False
    """The data must lie in PLACE/tree/data, where SRC is then."""
    versions: bool = True
    idle: str = ""
    """Do nothing, to see what its start takes."""
    note: str = ""

    @property
    def is_here(self) -> bool:
        """Whether its program is installed."""
        return self.kind == "ours" or program(self.program) is not None


_GIT = "git init -q $PLACE/tree && cd $PLACE/tree && git config feature.manyFiles true && git config gc.auto 0"
_CHANGES = ("again", "changed", "100 changed", "one changed", "one named")

CONTESTANTS = (
    Contestant(
        "pfs",
        "pfs",
        "pfs put-file -r -f $SRC data@master:/",
        "store",
        kind="ours",
        prepare="pfs init $PLACE/store && pfs create-repo data",
        one="exec pfs put-file -f $SRC/$FILE data@master:/$FILE",
        restore="exec pfs get-file -r data@master:/ -o $OUT",
        idle="exec pfs --help",
    ),
    Contestant(
        "restic",
        "restic",
        "cd $SRC && exec restic backup -q --compression $(test $Z = 1 && echo auto || echo off) .",
        "repo",
        prepare="restic init -q --repository-version 2",
        restore="exec restic restore -q latest --target $OUT",
        note="encrypts; hashes are checked on restore",
    ),
    Contestant(
        "borg",
        "borg",
        "cd $SRC && exec borg create -C $(test $Z = 1 && echo zstd,1 || echo none) ::v$N .",
        "repo",
        prepare="borg init -e none",
        restore="cd $OUT && exec borg extract ::$(borg list --short --last 1)",
        note="without encryption",
    ),
    Contestant(
        "ostree",
        "ostree",
        "exec ostree --repo=$PLACE/repo commit -b data --tree=dir=$SRC -s v$N",
        "repo",
        prepare="ostree --repo=$PLACE/repo init --mode=bare-user",
        restore="exec ostree --repo=$PLACE/repo checkout -U -C data $OUT/data",
        restored="$OUT/data",
        note="whole files, no compression, nothing checked on restore",
    ),
    Contestant(
        "casync",
        "casync",
        "exec casync make --without=all --store=$PLACE/store.castr $PLACE/v$N.caidx $SRC",
        ".",
        restore="exec casync extract --without=all --store=$PLACE/store.castr $PLACE/v$N.caidx $OUT",
        datasets=("large", "medium", "text"),
    ),
    Contestant(
        "git",
        "git",
        "cd $PLACE/tree && git add -A && exec git commit -q --allow-empty -m v$N",
        "tree/.git",
        prepare=_GIT,
        restore="cd $PLACE/tree && exec git worktree add -q --detach $OUT/data",
        restored="$OUT/data/data",
        datasets=("tiny", "small"),
        in_place=True,
        note="without gc, which would pack what is stored",
    ),
    Contestant(
        "dvc",
        "dvc",
        "cd $PLACE/tree && exec dvc add -q data",
        "tree/.dvc",
        prepare="mkdir -p $PLACE/tree && cd $PLACE/tree && dvc init -q --no-scm && dvc config core.analytics false",
        before_restore="rm -rf $PLACE/tree/data",
        restore="cd $PLACE/tree && exec dvc checkout -q",
        restored="$PLACE/tree/data",
        in_place=True,
        note="whole files, no compression, nothing checked on restore",
    ),
    Contestant(
        "git-annex",
        "git-annex",
        "cd $PLACE/tree && git annex add -q . && exec git commit -q -m v$N",
        "tree/.git",
        prepare=f"{_GIT} && git annex init -q",
        skips=("again",),
        before_restore="git clone -q $PLACE/tree $OUT/clone",
        restore="cd $OUT/clone && exec git annex get -q .",
        restored="$OUT/clone/data",
        datasets=("large", "medium", "text"),
        in_place=True,
        note="whole files; moves the file into its store",
    ),
    Contestant(
        "tar | zstd -1",
        "zstd",
        "tar -C $SRC -cf - . | exec zstd -q -1 -T$JOBS -o $PLACE/v$N.tar.zst",
        ".",
        kind="floor",
        restore="zstd -dc $PLACE/v$N.tar.zst | tar -C $OUT -xf -",
        datasets=("text", "small"),
        skips=_CHANGES,
    ),
    Contestant(
        "rsync",
        "rsync",
        "exec rsync -a --inplace --no-whole-file $SRC/ $PLACE/copy",
        "copy",
        kind="floor",
        restore="exec rsync -a $PLACE/copy/ $OUT",
    ),
    Contestant(
        "cp",
        "cp",
        "exec cp -r $SRC/. $PLACE/copy",
        "copy",
        kind="floor",
        prepare="mkdir $PLACE/copy",
        restore="exec cp -r $PLACE/copy/. $OUT",
        skips=_CHANGES,
    ),
    Contestant(
        "cp, sync",
        "cp",
        "cp -r $SRC/. $PLACE/copy && exec sync -f $PLACE/copy",
        "copy",
        kind="floor",
        prepare="mkdir $PLACE/copy",
        skips=_CHANGES,
        datasets=("large", "medium"),
    ),
    Contestant(
        "b3sum",
        "b3sum",
        "find $SRC -type f -print0 | exec xargs -0 b3sum --num-threads $JOBS",
        "",
        kind="floor",
        skips=_CHANGES,
        note="reads and hashes, stores nothing",
    ),
)


def environment(place: Path) -> dict[str, str]:
    """Return the environment of commands: each program's settings and files are below ``place``."""
    programs = [own.programs(), *(FOLDER / name / "bin" for name in ("dvc",))]
    names = ("LANG",) if own.is_current() else ("LANG", "PYTHONPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {
        **kept,
        "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", os.defpath)]),
        "HOME": str(place / "home"),
        "PLACE": str(place),
        "OUT": str(place / "out"),
        "JOBS": str(os.cpu_count()),
        "TMPDIR": str(place),
        "PFS_STORE": str(place / "store"),
        "RESTIC_REPOSITORY": str(place / "repo"),
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": str(place / "cache"),
        "BORG_REPO": str(place / "repo"),
        "BORG_BASE_DIR": str(place / "borg"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        **{f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_SITE_CACHE_DIR": str(place / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(place / "dvc-global"),
        "DVC_NO_ANALYTICS": "1",
        "CI": "1",
    }


def sh(line: str) -> list[str]:
    """Return the command that runs a line; a step that fails ends it."""
    return [shutil.which("sh") or "/bin/sh", "-e", "-c", line]
