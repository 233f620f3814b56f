"""The frame of `make test-clients`: gateways for unmodified clients, which have a venv of their own.

A test of a client names it with ``pytestmark = pytest.mark.client("name")``; a Python client's version is looked up,
others say it by the fixture ``ran_version``. What ran is printed at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import metadata

import pytest

from tests.clients.programs import Program, find
from tests.clients.served import Endpoint, serving

# Not part of `make test`: without the programs of a gateway and the clients' venv there is nothing to run.
collect_ignore_glob = [] if "PFS_CLIENTS" in os.environ else ["*.py", "aio/*.py"]

RAN = pytest.StashKey[dict[str, tuple[str, int]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "client(name): the client that a test is of")
    config.stash[RAN] = {}


@pytest.fixture(scope="session")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A gateway over plain HTTP: two processes that answer as one."""
    with serving(tmp_path_factory.mktemp("http"), secure=False, workers=2) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A gateway over HTTPS, its certificate signed by an authority that nobody else knows."""
    with serving(tmp_path_factory.mktemp("https"), secure=True, workers=1) as endpoint:
        yield endpoint


@pytest.fixture(params=["http", "https"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Both, one after the other: for clients that can be told an authority."""
    found: Endpoint = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bucket(endpoint: Endpoint) -> str:
    """An empty bucket of the test's own at ``endpoint``."""
    return endpoint.new_bucket()


@pytest.fixture
def trusted(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libraries in this process that know no other way trust the authority of ``endpoint``."""
    if endpoint.ca_file:
        monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user() -> Iterator[None]:
    """Keep clients in this process from settings and credentials of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def ran_version(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Return a function that says which version a client has that is no Python package: (name, version)."""

    def say(name: str, version: str) -> None:
        pytestconfig.stash[RAN][name] = (version, pytestconfig.stash[RAN].get(name, ("", 0))[1])

    return say


@pytest.fixture
def installed(request: pytest.FixtureRequest, ran_version: Callable[[str, str], None]) -> Program:
    """The program that the test's mark names, from install.py; without it the test is skipped with the reason."""
    mark = request.node.get_closest_marker("client")
    found = find(mark.args[0])
    ran_version(mark.args[0], found.version)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    mark = item.get_closest_marker("client")
    if mark is not None and report.when == "call" and report.passed:
        ran = item.config.stash[RAN]
        version, count = ran.get(mark.args[0], (_version(mark.args[0]), 0))
        ran[mark.args[0]] = (version, count + 1)
    return report


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if ran := config.stash[RAN]:
        terminalreporter.section("clients that ran")
        for name, (version, count) in sorted(ran.items()):
            terminalreporter.write_line(f"{name} {version}: {count} passed")
