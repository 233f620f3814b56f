"""The gateway of a task's job: it listens at once, and starts when somebody comes."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable

import pytest

from pfs.errors import FailedError
from pfs.trees.observed import Observed
from s3api.job.credentials import Credentials
from s3api.job.lazy import LazyGateway
from s3api.job.server import JobGateway


def refuses_to_start(*, listener: socket.socket, first: Iterable[Credentials]) -> JobGateway:
    raise OSError("no such thing")


def test_an_attempt_without_a_client_did_nothing() -> None:
    gateway = LazyGateway(refuses_to_start, ["images"])
    admission = gateway.admit()
    did = admission.end()
    assert (list(did.written), did.session) == ([], None)
    assert isinstance(did.reads["images"], Observed)
    gateway.close()
    gateway.close()


def ask(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    connection.getresponse()


def test_a_gateway_that_does_not_start_fails_the_attempt_and_keeps_nobody_waiting() -> None:
    gateway = LazyGateway(refuses_to_start, [])
    admission = gateway.admit()
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(connection)
    with pytest.raises(FailedError, match="the S3 gateway of the job did not start: no such thing"):
        admission.end()
    gateway.close()
