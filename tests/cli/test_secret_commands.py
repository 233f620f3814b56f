"""Commands on secrets: where values come from, and that none is ever shown."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from pfs.store import open as open_at
from pps.secret_store import Secrets
from tests.cli.conftest import Run

VALUE = "hunter2-and-a-half"


def values(folder: Path, name: str) -> dict[str, bytes]:
    with open_at(folder) as store:
        return Secrets(store).values(name)


@pytest.mark.row("2.10 create secret")
def test_where_values_come_from(store: Path, pps: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", VALUE)
    (store / "cert").write_bytes(b"\x00\xff")
    pps(
        "create-secret",
        "a",
        "user=me=you",
        "--from-env",
        "DB_PASSWORD",
        "--from-env",
        "p=DB_PASSWORD",
        "--from-file",
        "c=cert",
    )
    assert values(store, "a") == {
        "user": b"me=you",
        "DB_PASSWORD": VALUE.encode(),
        "p": VALUE.encode(),
        "c": b"\x00\xff",
    }
    (store / "s.json").write_text(json.dumps({"k": VALUE}))
    pps("create-secret", "b", "-f", "s.json", "more=x")
    assert values(store, "b") == {"k": VALUE.encode(), "more": b"x"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "c"},
        "type": "Opaque",
        "stringData": {"k": "plain"},
        "data": {"l": b64encode(b"coded").decode()},
    }
    (store / "m.json").write_text(json.dumps(manifest))
    pps("create-secret", "-f", "m.json")
    assert values(store, "c") == {"k": b"plain", "l": b"coded"}
    assert "has the secret 'c', not 'd'" in pps("create-secret", "d", "-f", "m.json", code=2).err
    assert "already exists" in pps("create-secret", "c", "k=v", code=4).err
    pps("create-secret", "c", "k=v", "--replace")
    assert values(store, "c") == {"k": b"v"}


@pytest.mark.row("2.10 list and inspect secrets", "2.10 delete secret", "4 secrets")
def test_what_is_shown(store: Path, pfs: Run, pps: Run) -> None:
    pps("create-secret", "db", f"password={VALUE}", "user=me")
    (record,) = pps("list-secret", "--json").json
    assert (record["name"], record["keys"]) == ("db", ["password", "user"])
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["true"], "secrets": [{"name": "db", "key": "password", "env_var": "P"}]},
        "input": {"pfs": {"repo": "r", "glob": "/"}},
    }
    (store / "p.json").write_text(json.dumps(spec))
    pps("create-pipeline", "-f", "p.json")
    assert pps("inspect-secret", "db", "--json").json["pipelines"] == ["p"]
    assert "is used by p" in pps("delete-secret", "db", code=4).err
    shown = [
        pps(*words).out for words in (["list-secret"], ["inspect-secret", "db"], ["inspect-pipeline", "p", "--json"])
    ]
    assert not any(VALUE in text for text in shown)
    assert "db" in shown[0]
    pps("delete-secret", "db", "--force")
    assert pps("list-secret", "--json").json == []
    assert "not found" in pps("inspect-secret", "db", code=3).err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["x=y"], "the name of the secret is missing"),
        ([], "the name of the secret is missing"),
        (["x"], "has no values"),
        (["x", VALUE], "a value has no key: write KEY=VALUE"),
        (["x", "a=1", "a=2"], "twice"),
        (["x", "A=1", "--from-env", "A=PATH"], "the key 'A' is given twice"),
        (["x", "--from-env", "NOSUCH"], "the variable 'NOSUCH' is not set"),
        (["x", "-f", "bad.json"], "bad.json is not JSON"),
        (["x", "-f", "list.json"], "must be a mapping"),
        (["x", "-f", "number.json"], "the value of 'k' is not a string"),
        (["x", "-f", "coded.json"], "is not base64"),
    ],
)
def test_errors_show_no_values(store: Path, pps: Run, words: list[str], what: str) -> None:
    (store / "bad.json").write_text(VALUE)
    (store / "list.json").write_text(json.dumps([VALUE]))
    (store / "number.json").write_text(json.dumps({"k": [VALUE]}))
    (store / "coded.json").write_text(json.dumps({"kind": "Secret", "data": {"k": VALUE}}))
    found = pps("create-secret", *words, code=2).err
    assert what in found
    assert VALUE not in found
