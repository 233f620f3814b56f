"""One server over HTTP and one over HTTPS; every test of the suite runs against both."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from botocore.client import BaseClient

import pfs
from tests.s3api.certificates import certificate
from tests.s3api.conformance.wire import Wire
from tests.s3api.conftest import Server, running

DOMAIN = "s3.test"
PUBLIC = "public"
"""A repo that anyone may read."""


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: what is tested here is what is said, not that it is durable."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="pfs-conformance-", dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=["http", "https"])
def server(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Server]:
    scheme: str = request.param
    folder = Path(tempfile.mkdtemp(prefix=scheme, dir=scratch))  # in each process it is made for each file anew
    with pfs.init(folder) as store:
        store.create_repo(PUBLIC).create_branch("master")
        tls = certificate(folder) if scheme == "https" else None
        with running(store, tls=tls, domains=[DOMAIN], anonymous_read=[PUBLIC]) as live:
            yield live


@pytest.fixture(scope="session")
def s3(server: Server) -> Iterator[BaseClient]:
    with closing(server.client(signature_version="s3v4")) as client:
        yield client


@pytest.fixture(scope="session")
def wire(server: Server) -> Iterator[Wire]:
    with closing(Wire(server)) as wire:
        yield wire


@pytest.fixture
def make_bucket(server: Server) -> Callable[[], str]:
    """Makes buckets of the test's own."""

    def make() -> str:
        name = f"b{uuid.uuid4().hex[:15]}"
        server.store.create_repo(name).create_branch("master")
        return name

    return make


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()
