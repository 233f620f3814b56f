"""The field ``transform.secrets``: which secrets a command is given, and how."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from pfs.errors import InvalidInputError
from pfs.paths import check_name
from pps.spec.fields import Fields
from pps.spec.types import SecretUse

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = re.compile(r"PFS|(PFS|PACH)_.*|PPS_(PIPELINE_NAME|PROJECT_NAME|SPEC_COMMIT)|HOME|TMPDIR|PATH")
_CLOSED: Final = ("/pfs", "/proc", "/sys", "/dev")
"""Where nothing can be mounted without hiding what the command needs."""


def read_secrets(transform: Fields) -> tuple[SecretUse, ...]:
    """Return the secrets of a transform; what is wrong with them goes to its findings."""
    found = []
    taken = set(transform.variables("env"))
    for fields in transform.mappings("secrets"):
        use = _secret(fields)
        if use.env_var in taken:
            fields.bad("env_var", f"the variable {use.env_var!r} is given twice")
        taken |= {use.env_var} - {""}
        found.append(use)
    return tuple(found)


def _secret(fields: Fields) -> SecretUse:
    use = SecretUse(fields.text("name"), fields.text("key"), fields.text("env_var"), fields.text("mount_path"))
    try:
        check_name("secret", use.name)
    except InvalidInputError as error:
        fields.bad("name", str(error))
    if not (use.env_var or use.mount_path or fields.is_bad("mount_path")):
        fields.bad("env_var", "a secret needs env_var, mount_path or both: how the command is given it")
    if use.env_var:
        _check_variable(fields, use)
    return SecretUse(use.name, use.key, use.env_var, _mount_path(fields, use.mount_path))


def _check_variable(fields: Fields, use: SecretUse) -> None:
    if not use.key:
        fields.bad("key", "the field 'key' of secret is missing: a variable gets the value of one key")
    if not _VARIABLE.fullmatch(use.env_var) or _OURS.fullmatch(use.env_var):
        fields.bad("env_var", f"{use.env_var!r} cannot be the variable of a secret: use letters, digits and _")


def _mount_path(fields: Fields, given: str) -> str:
    path = posixpath.normpath(given) if given else ""
    if path and (not path.startswith("/") or path.startswith("//") or path in {"/", "/tmp"}):
        fields.bad("mount_path", f"the mount_path {given!r} must be an absolute path to a folder of its own")
    if any(path == closed or path.startswith(f"{closed}/") for closed in _CLOSED):
        fields.bad("mount_path", f"the mount_path {given!r} is in the way: choose one outside {', '.join(_CLOSED)}")
    return path
