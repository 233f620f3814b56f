"""What opens encrypted stores: from variables of the environment, files, or the terminal; and options that say so.

The variables are taken out of the environment before anything else: no process that this one starts inherits them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from cli.exits import usage_error

if TYPE_CHECKING:
    from pfs.encryption.secret import Secret
    from pfs.encryption.unlock import Locked

F = TypeVar("F", bound=Callable[..., object])
_VARIABLES: Final = ("PFS_PASSPHRASE", "PFS_PASSPHRASE_FILE", "PFS_KEY_FILE")

_given: dict[str, str] = {}
_typed: dict[str, Secret] = {}
"""By location: asked for once, also where a store is opened twice."""


@contextmanager
def variables_taken() -> Iterator[None]:
    """Keep the variables in memory alone while a command runs; what shows a process's first environment, too."""
    _typed.clear()
    _given.update({name: os.environ[name] for name in _VARIABLES if name in os.environ})
    for name in _given:
        _wipe(name)
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(_given)
        _given.clear()


def unlock(locked: Locked) -> Secret:
    """Return the secret of a store: that of the variables, else ask at the terminal.

    Raises:
        KeyNeededError: there are none, and nobody to ask. Errors of reading the files that they name.
    """
    from pfs.errors import KeyNeededError

    try:
        return unlock_unasked(locked)
    except KeyNeededError:
        if "passphrase" not in locked.kinds or not _at_terminal():
            raise
    if locked.location not in _typed:
        _typed[locked.location] = _ask(f"passphrase of the store at {locked.location}: ")
    return _typed[locked.location]


def unlock_unasked(locked: Locked) -> Secret:
    """Return the secret that the variables give; raises as `unlock`, and never asks."""
    from pfs.encryption.unlock import from_environment

    return from_environment(locked, env=_given)


def options(what: str) -> Callable[[F], F]:
    """Return ``--passphrase-file`` and ``--key-file``; ``what`` says in the help what they are of."""
    import click

    def added(command: F) -> F:
        key = click.option("--key-file", metavar="FILE", help=f"Key file {what}; 32 bytes or more.")
        first = f"File whose first line is the passphrase {what}."
        passphrase = click.option("--passphrase-file", metavar="FILE", help=first)
        return passphrase(key(command))

    return added


def given(passphrase_file: str | None, key_file: str | None, *, prefix: str = "") -> Secret | None:
    """Return the secret that options give, None where they give none."""
    from pfs.encryption.secret import read_key_file, read_passphrase_file

    if passphrase_file is not None and key_file is not None:
        raise usage_error(f"--{prefix}passphrase-file and --{prefix}key-file are two ways to open a store: give one")
    if passphrase_file is not None:
        return read_passphrase_file(Path(passphrase_file))
    return None if key_file is None else read_key_file(Path(key_file))


def fresh(passphrase_file: str | None, key_file: str | None, *, what: str, by_variables: bool = False) -> Secret:
    """Return a secret that shall open a store from now on: of the options, of the variables, or asked for twice.

    A key file that is not there is made.
    """
    from pfs.encryption.secret import make_key_file
    from pfs.encryption.unlock import Locked
    from pfs.errors import KeyNeededError

    if key_file is not None and passphrase_file is None:
        return make_key_file(Path(key_file))
    found = given(passphrase_file, key_file)
    if found is None and by_variables:
        try:
            return unlock_unasked(Locked("", frozenset()))
        except KeyNeededError:
            pass
    if found is not None:
        return found
    if not _at_terminal():
        raise usage_error(f"{what} needs a passphrase or key file: give --passphrase-file or --key-file")
    first = _ask(f"passphrase for {what}: ")
    if _ask("the same again: ") != first:
        raise usage_error("the two passphrases differ: nothing was done")
    return first


def _at_terminal() -> bool:
    """Say whether somebody can be asked, also where stdin is something else."""
    if not sys.stderr.isatty():
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _ask(prompt: str) -> Secret:
    from getpass import getpass

    from pfs.encryption.secret import Passphrase

    try:
        return Passphrase(getpass(prompt))
    except EOFError as error:
        raise KeyboardInterrupt from error


def _wipe(name: str) -> None:
    """Overwrite the value where the process was given it: other processes of the user can read that in /proc."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(name.encode())
    if place:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))
