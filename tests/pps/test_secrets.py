"""Secrets: encrypted in the store, given to commands as variables and files, and shown nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import AlreadyExistsError, CorruptionError, InvalidInputError, NotFoundError
from pfs.rootkey import FILE, make_root_key
from pps.controller import Controller, local_executors
from pps.model.state import Counters
from pps.sandbox.isolation import probe
from pps.secret_store import Secrets
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in

VALUE = "hunter2-and-a-half"
VALUES = {"password": VALUE.encode(), "cert.pem": b"-----BEGIN-----\n\x00\xff" + VALUE.encode()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.put("images", {"/a": b"a"})
        yield made


@pytest.fixture
def secrets(world: World) -> Secrets:
    found = Secrets(world.store)
    found.create("db", VALUES)
    return found


def create(world: World, script: str, *secrets: Plain, name: str = "p", **fields: Plain) -> None:
    cmd = ["sh", "-c", script]
    world.create(name, pfs_input("images"), cmd, transform={"secrets": list(secrets), **fields})


def everything(folder: Path) -> bytes:
    """Return the bytes of all files, as they are on disk and as the store gives them back."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_values_are_kept_encrypted(world: World, secrets: Secrets) -> None:
    assert secrets.values("db") == {
        "password": VALUE.encode(),
        "cert.pem": b"-----BEGIN-----\n\x00\xff" + VALUE.encode(),
    }
    (info,) = secrets.list()
    assert (info.name, info.keys) == ("db", ("cert.pem", "password"))
    assert secrets.inspect("db") == info
    assert VALUE.encode() not in everything(world.folder)
    with pytest.raises(AlreadyExistsError):
        secrets.create("db", {"password": b"x"})
    secrets.create("db", {"password": b"other"}, replace=True)
    assert secrets.values("db") == {"password": b"other"}
    secrets.delete("db")
    assert secrets.list() == []
    for call in (secrets.values, secrets.inspect, secrets.delete):
        with pytest.raises(NotFoundError, match="pps create-secret db"):
            call("db")


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("a/b", {"k": b"v"}, "invalid secret name"),
        ("a", {"k/l": b"v"}, "invalid key 'k/l'"),
        ("a", {"..": b"v"}, "invalid key"),
        ("a", {}, "has no values"),
        ("a", {"k": b"x" * (1 << 20), "l": b"y"}, "larger than 1 MiB"),
    ],
)
def test_what_no_secret_can_be(world: World, name: str, values: dict[str, bytes], what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        Secrets(world.store).create(name, values)


def test_a_copy_or_an_edit_of_the_objects_gives_nothing(world: World, secrets: Secrets) -> None:
    objects = world.store.path / "objects" / "secrets"
    record = json.loads((objects / "db.json").read_text())
    (objects / "other.json").write_text(json.dumps({**record, "name": "other"}))
    with pytest.raises(CorruptionError, match=r"make it again by .pps create-secret other --replace"):
        secrets.values("other")
    (objects / "other.json").write_text("{}")
    with pytest.raises(CorruptionError, match="not a secret"):
        secrets.inspect("other")
    (objects / "other.json").unlink()
    (world.store.path / FILE).unlink()
    make_root_key(world.store.path)
    with pytest.raises(CorruptionError, match="not of this root key"):
        secrets.values("db")


@pytest.mark.row("2.2 transform.secrets", "2.2 secret.name", "2.2 secret.key", "2.2 secret.env_var")
def test_a_variable(world: World, secrets: Secrets) -> None:
    check = f'test "$DB_PASSWORD" = {VALUE} && ! grep -q {VALUE} "$PFS/.env"'
    create(
        world,
        check + ' && printf %s "${#DB_PASSWORD}" > "$PFS_OUT/n"',
        {"name": "db", "key": "password", "envVar": "DB_PASSWORD"},
    )
    assert world.run_one().state == "success"
    assert world.output("p") == {"/n": b"18"}


@pytest.fixture
def namespaces(tmp_path: Path) -> None:
    found = probe(tmp_path / "probe")
    if found.kind != "namespace":
        pytest.skip(f"no namespaces here: {found.detail}")


needs_namespaces = pytest.mark.usefixtures("namespaces")


@needs_namespaces
@pytest.mark.parametrize(
    "place", ["/run-secrets", "/deep/er/than/this", "/tmp/s", "/var/lib/nosuch/secret", "/etc/nosuch-secret", "/mnt"]
)
@pytest.mark.row("2.2 secret.mount_path")
def test_files(world: World, secrets: Secrets, place: str) -> None:
    there = os.path.exists(place)
    script = f"""
    cd {place} && ls > "$PFS_OUT/list" && test "$(cat password)" = {VALUE} && ! echo x > password && ! echo x > new
    cat /etc/passwd > /dev/null && ls /var > /dev/null && mount | grep -c " {place} "
    """
    create(world, script, {"name": "db", "mount_path": place})
    job = world.run_one()
    assert job.state == "success", job
    assert world.output("p") == {"/list": b"cert.pem\npassword\n"}
    assert os.path.exists(place) == there, "nothing of it is on the host"
    assert VALUE.encode() not in everything(world.folder)


@needs_namespaces
def test_one_key_as_a_file_and_several_secrets_in_a_folder(world: World, secrets: Secrets) -> None:
    secrets.create("more", {"token": b"abcdefgh"})
    create(
        world,
        'ls /s > "$PFS_OUT/list"; ls /t >> "$PFS_OUT/list"',
        {"name": "db", "key": "password", "mount_path": "/s/"},
        {"name": "more", "mount_path": "/s"},
        {"name": "more", "mount_path": "/t"},
    )
    world.run_one()
    assert world.output("p") == {"/list": b"password\ntoken\ntoken\n"}


@needs_namespaces
def test_a_link_to_a_secret_is_no_output(world: World, secrets: Secrets) -> None:
    create(world, 'ln -s /etc/s/password "$PFS_OUT/stolen"', {"name": "db", "mount_path": "/etc/s"})
    job = world.run_one()
    assert job.state == "failure"
    (datum,) = world.jobs.datums("p", job.id)
    assert "leads outside what the command could see" in datum.reason


def test_files_need_a_place_of_their_own(world: World, secrets: Secrets) -> None:
    create(world, "true", {"name": "db", "mount_path": "/s"})
    world.controller = Controller(world.store, local_executors(world.store, slots=1), isolation="none")
    job = world.run_one()
    (datum,) = world.jobs.datums("p", job.id)
    assert "secrets cannot be mounted at /s without namespaces or a container" in datum.reason
    assert "give them with env_var" in datum.reason


LEAK = """
echo "in a line: $V"; printf %s "$V" | head -c 7; sleep 0; printf %s "$V" | tail -c +8; echo
echo "on stderr: $V" >&2; printf "x$V"; printf "$V" >&2
exit 3
"""


def test_what_a_command_prints_is_masked(world: World, secrets: Secrets) -> None:
    create(world, LEAK, {"name": "db", "key": "password", "env_var": "V"})
    job = world.run_one()
    lines = {line.message for line in world.jobs.logs("p") if line.stream != "system"}
    assert {"in a line: ***", "on stderr: ***", "***", "x***"} <= lines
    (datum,) = world.jobs.datums("p", job.id)
    assert VALUE not in datum.log_tail
    assert "***" in datum.log_tail
    whole = everything(world.folder) + b"".join(world.output("p", ".meta").values())
    assert VALUE.encode() not in whole
    assert VALUE.encode()[:7] not in b"".join(world.output("p", ".meta").values()), "nor a part of it in the log"


def test_another_value_is_no_reason_to_run_again(world: World, secrets: Secrets) -> None:
    create(world, 'test -n "$V"', {"name": "db", "key": "password", "env_var": "V"})
    assert world.run_one().counters == Counters(total=1, processed=1)
    secrets.create("db", {"password": b"changed"}, replace=True)
    world.pipelines.rerun("p")
    assert world.run_one().counters == Counters(total=1, skipped=1)
    secrets.create("db2", {"password": b"changed"})
    new = {"secrets": [{"name": "db2", "key": "password", "env_var": "V"}]}
    world.pipelines.update(
        world.spec("p", pfs_input("images"), ["sh", "-c", 'test -n "$V"'], new), base_dir=world.folder
    )
    assert world.run_one().counters == Counters(total=1, skipped=1)
    assert world.pipelines.using_secret("db2") == ["p"]
    assert world.pipelines.using_secret("db") == []


@pytest.mark.row("2.2 transform.secrets")
def test_a_secret_must_be_there(world: World, secrets: Secrets) -> None:
    with pytest.raises(NotFoundError, match="secret 'nosuch' not found: `pps create-secret nosuch`"):
        create(world, "true", {"name": "nosuch", "mount_path": "/s"})
    with pytest.raises(NotFoundError, match=r"secret 'db' has no key 'user': it has cert\.pem, password"):
        create(world, "true", {"name": "db", "key": "user", "env_var": "U"})
    assert [repo.name for repo in world.store.list_repos()] == ["images"]
    create(world, "true", {"name": "db", "key": "cert.pem", "env_var": "C"})
    (datum,) = world.jobs.datums("p", world.run_one().id)
    assert datum.reason.endswith("key 'cert.pem' of secret 'db' is no text: give it with mount_path")
    secrets.delete("db")
    world.pipelines.rerun("p")
    (datum,) = world.jobs.datums("p", world.run_one().id)
    assert "its secrets cannot be given: secret 'db' not found" in datum.reason


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"name": "db"}, "a secret needs env_var, mount_path or both"),
        ({"name": "a/b", "mount_path": "/s"}, "invalid secret name 'a/b'"),
        ({"key": "k", "env_var": "V"}, "secret name"),
        ({"name": "db", "env_var": "V"}, "the field 'key' of secret is missing: a variable gets the value of one key"),
        ({"name": "db", "key": "k", "env_var": "A-B"}, "'A-B' cannot be the variable of a secret"),
        ({"name": "db", "key": "k", "env_var": "PFS_OUT"}, "'PFS_OUT' cannot be the variable of a secret"),
        ({"name": "db", "key": "k", "env_var": "TAKEN"}, "the variable 'TAKEN' is given twice"),
        ({"name": "db", "mount_path": "s"}, "must be an absolute path"),
        ({"name": "db", "mount_path": "/x/.."}, "must be an absolute path"),
        ({"name": "db", "mount_path": "/pfs/s"}, "is in the way"),
        ({"name": "db", "mount_path": "/proc"}, "is in the way"),
        ({"name": "db", "mountpath": "/s"}, "did you mean 'mount_path'?"),
        (3, "secret must be a mapping, not a number"),
    ],
)
def test_what_no_spec_can_want(world: World, given: Plain, what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        world.spec("p", pfs_input("images"), ["x"], transform={"secrets": [given], "env": {"TAKEN": "1"}})
    assert what in str(caught.value)
