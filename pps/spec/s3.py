"""The S3 fields of a spec, and what Pachyderm does not allow beside them."""

from __future__ import annotations

from collections.abc import Collection

from pps.spec.fields import Fields

SCHEME = "s3://"
"""Before the name of a repo that is read over S3."""
_GLOB = "/"
_EXCLUDES_OUT = {
    "service": "a service has no output",
    "spout": "a spout writes commits, and has no job whose output the bucket could be",
    "enable_stats": "stats cannot be kept of what goes past /pfs/out",
}


def read_s3(leaf: Fields, *, repo: str, inside: Collection[str]) -> bool:
    """Say whether an input is read over S3, and tell what does not go with that, with the rule.

    ``repo`` is as it was given, ``inside`` the kinds of nodes around it.
    """
    if not (leaf.flag("s3") or repo.startswith(SCHEME)):
        return False
    around = sorted(set(inside) & {"join", "union", "group"})
    if around:
        rule = "only by itself or in a cross, as its files are no datums"
        leaf.bad("s3", f"an S3 input cannot be in a {around[0]}: {rule}")
    glob = leaf.text("glob") or _GLOB
    if glob != _GLOB:
        leaf.bad("glob", f'the glob of an S3 input must be "/", not {glob!r}: all of it is one datum')
    for other in ("lazy", "empty_files"):
        if leaf.has(other):
            leaf.bad(other, f"an S3 input cannot be {other}: nothing of it is staged")
    return True


def bare_repo(repo: str) -> str:
    """Return the repo of ``s3://repo``; any other name as it is."""
    return repo.removeprefix(SCHEME).removesuffix("/") if repo.startswith(SCHEME) else repo


def read_s3_out(fields: Fields) -> bool:
    """Say whether the output is written over S3, and tell what does not go with that, with the rule."""
    if not fields.flag("s3_out"):
        return False
    for other, why in _EXCLUDES_OUT.items():
        if fields.has(other):
            fields.bad(other, f"{other!r} cannot be used with s3_out: {why}")
    return True
