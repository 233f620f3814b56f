from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import InvalidInputError
from pps.sandbox import container as sandbox_container
from pps.sandbox import syscalls as sandbox_syscalls
from pps.sandbox.isolation import Isolation, IsolationUnavailableError, choose, probe
from pps.sandbox.running import Exit
from pps.sandbox.spawner import Command, Mode, Spawner

ENV = {"PATH": os.defpath}


@pytest.fixture(params=["user", "mount", "user-pure", "mount-pure"])
def spawner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spawner]:
    if not sandbox_syscalls.available():
        pytest.skip("no mount namespaces on this system")
    name, _, pure = request.param.partition("-")
    mode: Mode = name
    found = Spawner(mode, tmp_path / "anchor", native=not pure)
    error = found.hello()["error"]
    if error:
        found.close()
        pytest.skip(f"mode {mode!r} is not possible here: {error}")
    yield found
    found.close()


def sh(spawner: Spawner, script: str, *mounts: tuple[str, ...]) -> tuple[Exit | None, str]:
    output = bytearray()
    with open(os.devnull, "rb") as null:
        command = Command(("sh", "-c", script), ENV, "/", tuple(mounts))
        running = spawner.start(command, stdin=null.fileno())
    ended = running.wait(lambda _stream, data: output.extend(data), timeout_s=60)
    return ended, output.decode()


def folders(top: Path, *names: str) -> list[str]:
    for name in names:
        (top / name).mkdir(parents=True)
    return [str(top / name) for name in names]


def test_pfs_is_there_for_the_command_only(spawner: Spawner, tmp_path: Path) -> None:
    (pfs,) = folders(tmp_path, "pfs")
    on_host = os.path.exists("/pfs")
    ended, text = sh(spawner, "mkdir /pfs/out && echo hi > /pfs/out/a && ls /pfs", ("bind", pfs, "/pfs"))
    assert (ended, text) == (Exit(code=0), "out\n")
    assert (tmp_path / "pfs/out/a").read_text() == "hi\n"
    assert os.path.exists("/pfs") == on_host
    # The next command starts from the clean root again.
    assert sh(spawner, "ls -A /pfs") == (Exit(code=0), "")


def test_host_is_as_it_was(spawner: Spawner) -> None:
    ended, text = sh(
        spawner, "id -u; ls -A /; ls /proc/self/cwd >/dev/null && echo proc; echo x >/dev/null && echo dev"
    )
    assert ended == Exit(code=0)
    words = text.split()
    assert words[0] == str(os.geteuid())
    assert set(os.listdir("/")) - {"pfs"} <= set(words)
    assert words[-2:] == ["proc", "dev"]


def test_root_directory_cannot_carry_files_to_the_next_datum(spawner: Spawner) -> None:
    ended, _text = sh(spawner, "echo x > /left-behind")
    assert ended is not None
    assert ended.code != 0
    assert not os.path.exists("/left-behind")


def test_read_only_bind(spawner: Spawner, tmp_path: Path) -> None:
    pfs, data = folders(tmp_path, "pfs", "data")
    (tmp_path / "data/f").write_text("same")
    ended, text = sh(spawner, "cat /pfs/in/f; echo no > /pfs/in/f", ("bind", pfs, "/pfs"), ("ro", data, "/pfs/in"))
    assert ended is not None
    assert ended.code != 0
    assert text.startswith("same")
    assert (tmp_path / "data/f").read_text() == "same"


def test_overlay_takes_writes_and_leaves_the_view(spawner: Spawner, tmp_path: Path) -> None:
    hello = spawner.hello()
    if not hello["overlay"]:
        pytest.skip(f"no overlay here: {hello['overlay_error']}")
    pfs, lower, upper, work = folders(tmp_path, "pfs", "lower/sub", "upper", "work")
    lower = str(tmp_path / "lower")
    (tmp_path / "lower/sub/f").write_text("same")
    script = "echo more >> /pfs/in/sub/f; mv /pfs/in/sub /pfs/in/moved; cat /pfs/in/moved/f; ls /pfs/in"
    ended, text = sh(spawner, script, ("bind", pfs, "/pfs"), ("overlay", lower, upper, work, "/pfs/in"))
    assert (ended, text) == (Exit(code=0), "samemore\nmoved\n")
    assert (tmp_path / "lower/sub/f").read_text() == "same"


def test_overlay_with_a_colon_in_its_path_says_so(spawner: Spawner, tmp_path: Path) -> None:
    lower, upper, work, target = folders(tmp_path, "a:b", "upper", "work", "target")
    ended, _text = sh(spawner, "true", ("overlay", lower, upper, work, target))
    assert ended is not None
    assert ended.error is not None
    assert "a:b" in ended.error


def test_private_tmp(spawner: Spawner, tmp_path: Path) -> None:
    fresh, tool = folders(tmp_path, "fresh", "tool")
    (tmp_path / "tool/x").write_text("tool")
    steps = [("bind", fresh, fresh), ("ro", tool, f"{fresh}/kept/tool"), ("tree", fresh, "/tmp")]
    mine = f"mine-{uuid.uuid4().hex}"
    ended, text = sh(spawner, f"cat /tmp/kept/tool/x; echo a > /tmp/{mine}; ls /tmp", *steps)
    assert (ended, text) == (Exit(code=0), f"toolkept\n{mine}\n")
    assert not os.path.exists(f"/tmp/{mine}")
    assert (tmp_path / "fresh" / mine).read_text() == "a\n"


def test_pid_namespace_has_its_own_proc(spawner: Spawner) -> None:
    hello = spawner.hello()
    if not hello["own_pids"]:
        pytest.skip(f"no PID namespace here: {hello['own_pids_error']}")
    ended, text = sh(spawner, "echo $$; ls -d /proc/[0-9]* | wc -l", ("proc",))
    assert ended == Exit(code=0)
    pid, count = text.split()
    assert int(pid) == 2
    assert int(count) <= 5


def test_a_step_that_fails_is_no_exit_code(spawner: Spawner) -> None:
    ended, _text = sh(spawner, "true", ("bind", "/no/such/source", "/pfs"))
    assert ended is not None
    assert ended.code is None
    assert ended.error is not None
    assert "No such file" in ended.error


def test_probe_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    found = probe(tmp_path)
    assert found.kind in {"namespace", "none"}
    assert found.detail
    assert children() == before


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def test_none_is_always_possible(tmp_path: Path) -> None:
    isolation, spawner = choose("none", tmp_path)
    spawner.close()
    assert isolation == Isolation("none", "as asked for: relative pfs/, no private /tmp")


def test_unknown_word(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="unknown isolation 'vm': use one of auto, namespace, container, none"):
        choose("vm", tmp_path)


def test_demanded_container_without_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IsolationUnavailableError, match="neither docker nor podman answers"):
        choose("container", tmp_path)


def test_engine_that_does_not_answer_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sandbox_container.find_engine() is None
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    assert sandbox_container.find_engine() == str(tmp_path / "docker")


def test_container_command_line(tmp_path: Path) -> None:
    argv = sandbox_container.run_argv(
        "docker",
        "img:1",
        ["python3", "/x.py"],
        name="pps-1",
        store="/s",
        env={"A": "b"},
        cwd="/code",
        volumes=[(tmp_path, "/pfs", True), (tmp_path, "/ro", False)],
        user="7",
    )
    assert argv == (
        *("docker", "run", "--rm", "--interactive", "--init", "--name", "pps-1", "--label", "pfs.store=/s"),
        *("--volume", f"{tmp_path}:/pfs:rw", "--volume", f"{tmp_path}:/ro:ro"),
        *("--env", "A=b", "--workdir", "/code", "--user", "7", "--entrypoint", "python3", "img:1", "/x.py"),
    )


@pytest.mark.parametrize("place", ["/nosuch-root/deep", "/etc/nosuch-below", "/var/lib/nosuch/deep", "/mnt"])
def test_files_in_memory(spawner: Spawner, place: str) -> None:
    there = os.path.exists(place)
    text = base64.b64encode(b"hidden").decode()
    script = f"""
    cat {place}/a && ls {place} && ls /etc/passwd /var/lib > /dev/null || exit 1
    (echo x > {place}/a) 2> /dev/null && exit 2
    (echo x > {place}/../new) 2> /dev/null && rm {place}/../new && echo writable
    (echo x > /new) 2> /dev/null && exit 3
    exit 0
    """
    ended, out = sh(spawner, script, ("files", place, "a", text, "b", ""))
    assert (ended, out.removesuffix("writable\n")) == (Exit(code=0), "hiddena\nb\n")
    assert os.path.exists(place) == there
    ended, out = sh(spawner, f"ls -A {place} 2> /dev/null | grep -x a")
    assert (ended, out) == (Exit(code=1), ""), "the next command has none of it"
