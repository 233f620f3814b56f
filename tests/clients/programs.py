"""The clients that tests/clients/install.py fetched, and how they are run."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.served import Endpoint

LIMIT_S = 180


@dataclass(frozen=True, slots=True)
class Program:
    """A client that is there: its version, and what is run (what that is says its recipe)."""

    version: str
    path: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a program left."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err


def find(name: str) -> Program:
    """Return a client, or skip the test with the reason why there is none."""
    root = os.environ.get("PFS_CLIENT_PROGRAMS")
    if root is None:
        pytest.skip("PFS_CLIENT_PROGRAMS is not set: use `make test-clients`")
    if name in os.environ.get("PFS_CLIENTS_WITHOUT", "").split():
        pytest.skip(f"{name} was left out")
    record = Path(root) / f"{name}.json"
    found = json.loads(record.read_text()) if record.exists() else {"reason": "it was not installed"}
    if "reason" in found:
        pytest.skip(f"{name} cannot be had here: {found['reason']}")
    return Program(found["version"], Path(found["path"]))


def run(
    *line: object,
    environment: dict[str, str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    status: int | None = 0,
    limit_s: float = LIMIT_S,
) -> Outcome:
    """Run a program; it has to end with ``status`` (None: with any but 0)."""
    words = [str(word) for word in line]
    done = subprocess.run(
        words, env=environment, cwd=cwd, input=stdin, capture_output=True, check=False, timeout=limit_s
    )
    outcome = Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    right = outcome.status != 0 if status is None else outcome.status == status
    assert right, f"{' '.join(words[:6])} ended with {outcome.status}: {outcome.err}{outcome.out}"[:6000]
    return outcome


def fetch(url: str, endpoint: Endpoint) -> tuple[int, bytes]:
    """GET a URL that a client signed; return status and body."""
    trust = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    try:
        with urllib.request.urlopen(url, context=trust, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
