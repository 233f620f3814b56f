"""What holds for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.pfs.bucket_world import World, bucket_server, use_bucket

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

# A shell that starts tests in the background has them ignore SIGINT, and so would the commands that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bucket_served() -> Iterator[World]:
    """An S3 server with an empty bucket; use `bucket`."""
    with bucket_server() as world:
        yield world


@pytest.fixture
def bucket(bucket_served: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The server, with credentials for it in the environment."""
    with use_bucket(bucket_served, monkeypatch):
        yield bucket_served
