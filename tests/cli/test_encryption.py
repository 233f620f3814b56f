"""Encrypted stores by the commands: made, opened, copied, their slots; and where secrets must not get."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from tests.cli.conftest import Run
from tests.cli.processes import BIN, environment, serving
from tests.cli.processes import run as run_process
from tests.pfs.bucket_world import BUCKET, World

VARIABLES = ("PFS_PASSPHRASE", "PFS_PASSPHRASE_FILE", "PFS_KEY_FILE")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "PFS_STORE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.txt").write_text("hello\n")
    return tmp_path


@pytest.fixture
def store(here: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encrypted store that the environment opens by a key file."""
    record = pfs("init", "one", "--encrypt", "--key-file", "key", "--json").json
    assert isinstance(record, dict)
    assert (record["made"], record["encrypted"]) == (True, True)
    monkeypatch.setenv("PFS_KEY_FILE", str(here / "key"))
    monkeypatch.setenv("PFS_STORE", str(here / "one"))
    pfs("create-repo", "images")
    pfs("put-file", "images@master", "-f", "a.txt")
    return here


def test_a_key_file_is_made_and_opens_the_store(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.stat("key").st_mode & 0o777 == 0o600
    assert pfs("get-file", "images@master:/a.txt").out == "hello\n"
    assert ", encrypted" in pfs("doctor").out
    pfs("fsck", "--deep")
    pfs("recover")
    assert pfs("get-file", "images@master:/a.txt").out == "hello\n"
    (store / "other").write_text("another key file of more than 32 bytes\n")
    monkeypatch.setenv("PFS_KEY_FILE", str(store / "other"))
    wrong = pfs("list-repo", code=5).err
    assert "this key file does not open the store at" in wrong
    monkeypatch.setenv("PFS_KEY_FILE", str(store / "none"))
    assert "there is no key file" in pfs("list-repo", code=3).err
    monkeypatch.delenv("PFS_KEY_FILE")
    for words in (["list-repo"], ["recover"], ["list-keyslot"], ["put-file", "images@master", "-f", "a.txt"]):
        missing = pfs(*words, code=2).err
        assert "PFS_PASSPHRASE_FILE or PFS_KEY_FILE" in missing


def test_a_passphrase_and_its_rotation(here: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "words").write_text("old words\n")
    (here / "new").write_text("new words\n")
    pfs("init", "one", "--encrypt", "--passphrase-file", "words")
    monkeypatch.setenv("PFS_STORE", str(here / "one"))
    monkeypatch.setenv("PFS_PASSPHRASE", "old words")
    pfs("create-repo", "images")
    before = {path: path.read_bytes() for path in (here / "one/.pfs/objects").rglob("*") if path.is_file()}
    pfs("update-keyslot", "first", "--passphrase-file", "new")
    assert "this passphrase does not open" in pfs("list-repo", code=5).err
    monkeypatch.delenv("PFS_PASSPHRASE")
    monkeypatch.setenv("PFS_PASSPHRASE_FILE", str(here / "new"))
    assert pfs("list-repo", "--json").json != []
    after = {path: path.read_bytes() for path in (here / "one/.pfs/objects").rglob("*") if path.is_file()}
    assert [path.name for path in before if before[path] != after[path]] == ["encryption.json"]


def test_no_key_file_is_made_for_a_store_that_is_there(store: Path, here: Path, pfs: Run) -> None:
    again = ("init", "one", "--encrypt", "--key-file", "typo")
    assert "already exists" in pfs(*again, code=4).err
    (here / "one" / ".pfs" / "config.json").unlink()  # as if it had been cut off
    assert "there is no key file 'typo'" in pfs(*again, code=3).err
    assert not (here / "typo").exists()
    pfs("init", "one", "--encrypt", "--key-file", "key")


def test_key_slots(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pfs("create-keyslot", "spare", "--key-file", "second")
    listed = pfs("list-keyslot", "--json").json
    assert isinstance(listed, list)
    assert [(slot["name"], slot["kind"]) for slot in listed] == [("first", "key-file"), ("spare", "key-file")]
    assert "first" in pfs("list-keyslots").out
    assert "already exists" in pfs("create-keyslot", "spare", "--key-file", "third", code=4).err
    assert "not found" in pfs("update-keyslot", "none", "--key-file", "third", code=3).err
    assert "not found" in pfs("delete-keyslot", "none", code=3).err
    pfs("delete-keyslot", "first")
    monkeypatch.setenv("PFS_KEY_FILE", "second")
    assert "the last one" in pfs("delete-keyslot", "spare", code=4).err
    assert "give --passphrase-file or --key-file" in pfs("create-keyslot", "more", code=2).err
    (store / "words").write_text("x")
    assert "give one" in pfs("create-keyslot", "more", "--key-file", "x", "--passphrase-file", "words", code=2).err
    (store / "short").write_text("short")
    assert "32 bytes" in pfs("create-keyslot", "more", "--key-file", "short", code=2).err
    assert "first" not in pfs("list-keyslot").out


def test_a_plain_store_has_no_key_slots(here: Path, pfs: Run) -> None:
    pfs("init", "one")
    assert "not encrypted" in pfs("--store", "one", "list-keyslot", code=2).err
    assert "--encrypt" in pfs("init", "two", "--key-file", "key", code=2).err
    assert "--encrypt" in pfs("clone", "one", "two", "--key-file", "key", code=2).err
    assert "give --passphrase-file" in pfs("init", "two", "--encrypt", code=2).err
    assert not (here / "two").exists()
    assert not (here / "key").exists()


def test_stores_are_copied_and_send_to_each_other(store: Path, pfs: Run) -> None:
    pfs("clone", "one", "plain")
    assert pfs("--store", "plain", "get-file", "images@master:/a.txt").out == "hello\n"
    pfs("clone", "plain", "two", "--encrypt", "--key-file", "key2")
    assert "does not open" in pfs("--store", "two", "list-repo", code=5).err
    assert "does not open" in pfs("clone", "two", "three", code=5).err
    pfs("clone", "two", "three", "--source-key-file", "key2", "--encrypt", "--key-file", "key")
    assert pfs("--store", "three", "get-file", "images@master:/a.txt").out == "hello\n"
    (store / "b.txt").write_text("more\n")
    pfs("put-file", "images@master", "-f", "b.txt")
    assert "does not open" in pfs("push", "two", code=5).err
    for other, options in (("two", ["--key-file", "key2"]), ("plain", []), ("three", [])):
        assert "master" in pfs("push", other, *options).out
    pfs("--store", "three", "pull", "two", "--key-file", "key2")
    assert pfs("--store", "plain", "get-file", "images@master:/b.txt").out == "more\n"


@pytest.mark.s3
def test_an_encrypted_bucket_from_two_machines(
    bucket: World, here: Path, pfs: Run, pps: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{BUCKET}/{uuid4().hex}"
    to = ["--backend", url, "--endpoint", bucket.url]
    pfs("init", "one", *to, "--encrypt", "--key-file", "key")
    assert "is encrypted" in pfs("init", "two", *to, code=2).err
    assert not (here / "two").exists()
    monkeypatch.setenv("PFS_KEY_FILE", str(here / "key"))
    record = pfs("init", "two", *to, "--json").json
    assert isinstance(record, dict)
    assert (record["made"], record["encrypted"]) == (False, True)
    (here / "other").write_text("another key file, of 32 bytes and more")
    assert "does not open" in pfs("init", "three", *to, "--encrypt", "--key-file", "other", code=5).err
    assert not (here / "three").exists()
    assert "there is no key file 'typo'" in pfs("init", "four", *to, "--encrypt", "--key-file", "typo", code=3).err
    assert not (here / "four").exists()
    assert not (here / "typo").exists()
    pfs("--store", "one", "create-repo", "images")
    pfs("--store", "one", "put-file", "images@master", "-f", "a.txt")
    spec = {
        "pipeline": {"name": "count"},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["wc -c < /pfs/images/a.txt > /pfs/out/n; env > /pfs/out/env"]},
    }
    (here / "count.json").write_text(json.dumps(spec))
    pps("--store", "two", "create-pipeline", "-f", "count.json")
    pps("--store", "two", "create-secret", "db", "password=hunter2")
    pps("--store", "two", "run")
    assert pfs("--store", "one", "get-file", "count@master:/n").out.strip() == "6"
    assert not re.search("PFS_KEY|PASSPHRASE", pfs("--store", "one", "get-file", "count@master:/env").out)
    names, bodies = stored(bucket, url)
    for word in (b"images", b"count", b"hello", b"hunter2", b"password", b"wc -c"):
        assert word not in names
        assert word not in bodies


def stored(bucket: World, url: str) -> tuple[bytes, bytes]:
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    bodies = [bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys]
    return "\n".join(keys).encode(), b"\0".join(bodies)


SPY = """
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\\0' '\\n' < $file; done 2>/dev/null
"""


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_commands_of_pipelines_find_no_secret(store: Path, pfs: Run, pps: Run, isolation: str) -> None:
    """Neither in their own environment nor in that of the processes around them, as /proc shows it."""
    key = (store / "key").read_text().strip()
    spec = {
        "pipeline": {"name": "spy"},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [f"({SPY}) > $PFS_OUT/seen; env >> $PFS_OUT/seen"]},
    }
    (store / "spy.json").write_text(json.dumps(spec))
    pps("create-pipeline", "-f", "spy.json")
    env = {
        **environment(store / "one"),
        "PFS_KEY_FILE": str(store / "key"),
        "PFS_PASSPHRASE": "no-such-words",
        "MARK": "around",
    }
    command = [str(BIN / "pps"), "run", "--isolation", isolation]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = pfs("get-file", "spy@master:/seen").out
    assert "PATH=" in seen
    assert ("MARK=around" in seen) == (isolation == "none"), "the processes around it are looked at"
    assert not [word for word in (str(store / "key"), key, "no-such-words", "PFS_PASSPHRASE=n") if word in seen]
    assert key not in done.stdout + done.stderr


def test_workers_of_the_gateway_get_the_key_through_a_pipe(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = store / "key"
    secret = key.read_text().strip()

    def with_key(at: Path) -> dict[str, str]:
        return {**environment(at), "PFS_KEY_FILE": str(key)}

    monkeypatch.setattr("tests.cli.processes.environment", with_key)
    with serving(store / "one", "--no-pipelines", "--workers", "2") as served:
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=served.url,
            aws_access_key_id=served.access_key,
            aws_secret_access_key=served.secret_key,
        )
        for number in range(4):
            client.put_object(Bucket="master.images", Key=f"from-s3-{number}", Body=b"through the gateway")
        begun = client.create_multipart_upload(Bucket="master.images", Key="parts")["UploadId"]
        client.upload_part(Bucket="master.images", Key="parts", UploadId=begun, PartNumber=1, Body=b"a part")
        parts = client.list_parts(Bucket="master.images", Key="parts", UploadId=begun)["Parts"]
        assert [part["Size"] for part in parts] == [6]
        client.close()
        around = [served.process.pid, *children(served.process.pid)]
        assert len(around) >= 3
        for pid in around:
            for what in ("environ", "cmdline"):
                shown = Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")
                assert secret not in shown
                assert str(key) not in shown
    assert "through" in run_process(store / "one", "pfs", "get-file", "images@master:/from-s3-3")
    raw = [path.read_bytes() for path in (store / "one/.pfs/objects").rglob("*") if path.is_file()]
    assert not [body for body in raw if b"through the gateway" in body or b"a part" in body]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def typed(here: Path, line: list[str], answers: list[tuple[str, str]]) -> str:
    """Run a program at a terminal of its own, type an answer at each prompt, and return all that was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PFS_")}
        os.chdir(here)
        os.execve(line[0], line, env)
    shown = b""
    try:
        for prompt, answer in answers:
            while prompt.encode() not in shown:
                shown += os.read(terminal, 1024)
            shown = b""
            os.write(terminal, answer.encode() + b"\n")
        while True:
            try:
                piece = os.read(terminal, 1024)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return f"{os.waitstatus_to_exitcode(status)} {shown.decode()}"


def test_at_a_terminal_it_is_asked_for(here: Path) -> None:
    pfs = str(BIN / "pfs")
    ask, again = "passphrase for the encrypted store: ", "the same again: "
    shown = typed(here, [pfs, "init", "one", "--encrypt"], [(ask, "my words"), (again, "my wrods")])
    assert shown.startswith("2 ")
    assert "the two passphrases differ" in shown
    assert not (here / "one").exists()
    shown = typed(here, [pfs, "init", "one", "--encrypt"], [(ask, "my words"), (again, "my words")])
    assert shown.startswith("0 ")
    assert "words" not in shown
    piped = ["/bin/sh", "-c", f"echo | {pfs} --store one create-repo images"]
    shown = typed(here, piped, [("passphrase of the store at", "my words")])
    assert shown.startswith("0 ")
    shown = typed(here, [pfs, "--store", "one", "list-repo"], [("passphrase of the store at", "other words")])
    assert shown.startswith("5 ")
    assert "this passphrase does not open the store" in shown
    assert "words" not in shown
