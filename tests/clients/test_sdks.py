"""The AWS SDKs of other languages: one program each, which goes through all steps; path style and virtual-host style.

What they print are the steps that passed, so a failure says where it was.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, run
from tests.clients.samples import ODD_KEYS
from tests.clients.served import DOMAIN, MANY, Endpoint

STEPS = ["transfers", "odd_keys", "paging", "ranges", "conditions", "multipart", "presigned", "missing", "read_only"]


def settings(endpoint: Endpoint, *, path_style: bool) -> dict[str, object]:
    """Return what a program is told; buckets in virtual-host style are below the domain."""
    bucket = endpoint.new_bucket()
    return {
        "endpoint": endpoint.url if path_style else endpoint.url.replace("127.0.0.1", DOMAIN),
        "path_style": path_style,
        "access_key": endpoint.access_key,
        "secret_key": endpoint.secret_key,
        "reader_access_key": endpoint.reader_access_key,
        "reader_secret_key": endpoint.reader_secret_key,
        "bucket": bucket,
        "kept": endpoint.kept,
        "frozen": endpoint.frozen,
        "many": endpoint.many,
        "many_count": MANY,
    }


def check_steps(outcome: Outcome, expected: list[str]) -> None:
    assert outcome.out.split() == expected, outcome.said


styles = pytest.mark.parametrize("path_style", [True, False], ids=["path", "host"])


@styles
@pytest.mark.client("aws-sdk-go-v2")
def test_go(installed: Program, endpoint: Endpoint, path_style: bool) -> None:
    given = {**settings(endpoint, path_style=path_style), "odd_keys": ODD_KEYS}
    check_steps(run(installed.path, environment=endpoint.environment(), stdin=json.dumps(given).encode()), STEPS)


@styles
@pytest.mark.client("aws-sdk-js")
def test_javascript(installed: Program, endpoint: Endpoint, path_style: bool) -> None:
    given = {**settings(endpoint, path_style=path_style), "odd_keys": ODD_KEYS}
    environment = endpoint.environment(NODE_EXTRA_CA_CERTS=str(endpoint.ca_file or ""), NODE_NO_WARNINGS="1")
    check_steps(run("node", installed.path, environment=environment, stdin=json.dumps(given).encode()), STEPS)


@styles
@pytest.mark.client("aws-sdk-java")
def test_java(installed: Program, endpoint: Endpoint, path_style: bool, tmp_path: Path) -> None:
    given = settings(endpoint, path_style=path_style)
    names = [given["bucket"], given["kept"], given["frozen"], given["many"]]
    hosts = [DOMAIN, *(f"{name}.{DOMAIN}" for name in [*names, "no-such-bucket"])]
    (tmp_path / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in hosts))
    options = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    options["jdk.net.hosts.file"] = str(tmp_path / "hosts")
    options["java.io.tmpdir"] = str(tmp_path)
    if endpoint.ca_file:
        store = truststore(endpoint.ca_file, tmp_path)
        options |= {"javax.net.ssl.trustStore": str(store), "javax.net.ssl.trustStorePassword": "public"}
    words = [f"-D{name}={value}" for name, value in options.items()]
    path = f"{installed.path}:{installed.path.parent}/jars/*"
    done = run("java", *words, "-cp", path, "Client", *ODD_KEYS, environment=endpoint.environment(LC_ALL="C.UTF-8"))
    check_steps(done, ["transfers", "manager", *STEPS[1:]])


def truststore(ca_file: Path, folder: Path) -> Path:
    """Return the authority in the form that Java reads."""
    made = folder / "trust.p12"
    line = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", str(ca_file)]
    subprocess.run([*line, "-keystore", str(made), "-storepass", "public"], check=True, capture_output=True)
    return made
