"""The credentials of one attempt at a datum: made before the gateway that knows them may have started."""

from __future__ import annotations

from typing import NamedTuple

from pfs.rootkey import new_access_key, new_secret_key


class Credentials(NamedTuple):
    """A pair that no other attempt has."""

    access_key: str
    secret: str


def new_credentials() -> Credentials:
    """Make a pair."""
    return Credentials(new_access_key(), new_secret_key())
