"""Plain requests and the native loop that takes them: it must do what the one in Python does."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.sandbox import plain
from pps.sandbox import syscalls as sandbox_syscalls
from pps.sandbox.limits import Limits
from pps.sandbox.running import Exit
from pps.sandbox.spawner import Command, Spawner
from pps.sandbox.spawner_init import Request

ENV = {"PATH": os.defpath}
NO_LIMITS = Limits(memory=1 << 40, disk=None, folders=[], cpus=[])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Spawner, Spawner]]:
    if not sandbox_syscalls.available():
        pytest.skip("no mount namespaces on this system")
    found = [Spawner("user", tmp_path_factory.mktemp("anchor"), native=native) for native in (True, False)]
    hellos = [spawner.hello() for spawner in found]
    if hellos[0]["plain"] and not hellos[1]["plain"]:
        yield found[0], found[1]
    for spawner in found:
        spawner.close()
    if hellos[0]["error"] or not hellos[0]["own_pids"]:
        pytest.skip("no PID namespaces here")
    if not hellos[0]["plain"]:
        pytest.skip("the extension is not built")


def end(spawner: Spawner, command: Command) -> tuple[Exit | None, bytes, bytes]:
    written = {"out": b"", "err": b""}

    def take(stream: str, data: bytes) -> None:
        written[stream] += data

    with open(os.devnull, "rb") as null:
        ended = spawner.start(command, stdin=null.fileno()).wait(take, timeout_s=60)
    return ended, written["out"], written["err"]


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def odd_commands(top: Path) -> list[Command]:
    scripts = top / "scripts"
    scripts.mkdir()
    script(scripts / "here", "#!/bin/sh\necho found\n")
    (scripts / "dir").mkdir()
    (scripts / "plain").write_text("no program")
    path = {"PATH": f"/no/such:{scripts}/:"}
    # The last 7 digits: what libc does with the two signals of its own, 32 and 33, is its affair.
    masks = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status | grep -o '.......$'"
    shows = f"{masks}; umask; ulimit -a; ls -l /proc/self/fd | wc -l; ps -o sid= $$"
    return [
        Command(("sh", "-c", shows), ENV, "/"),
        Command(("here",), path, "/"),
        Command(("dir",), path, str(scripts)),
        Command(("plain",), path, str(scripts)),
        Command(("./here",), {}, str(scripts)),
        Command(("here",), {"PATH": ""}, str(scripts)),
        Command(("true",), {}, "/"),
        Command((script(scripts / "empty", ""),), ENV, "/"),
        Command((script(scripts / "odd", "#!/no/such/interpreter\n"),), ENV, "/"),
        Command(("sh", "-c", 'printf "%s|" "$@"', "sh", "", "a b", "\udcff", "\n"), ENV, "/"),
        Command(("env",), {"A": "", "B": "=", "C": "\u00e9\udc80", **ENV}, "/"),
        Command(("env",), {"A=B": "c"}, "/"),
        Command(("env",), {"": "c"}, "/"),
        Command(("true", "a\0b"), ENV, "/"),
        Command(("true",), ENV, '/no/"such\\\n\u00e9'),
        Command(("true",), ENV, "/", (("bind", "/no/such", "/pfs"),)),
        Command(("true",), ENV, "/", (("bind", str(scripts), "/new/place"),)),
        Command(("true",), ENV, "/", (("tree", str(scripts), "/new"),)),
        Command(("true",), ENV, "/", (("overlay", str(scripts), "/no", "/such", str(scripts)),)),
        Command(("true",), ENV, "/", (("overlay", "/a,b", "/no", "/such", "/pfs"),)),
        Command(("sh", "-c", "echo x >/pfs"), ENV, "/", (("ro", str(scripts), "/pfs"),)),
        Command(("sh", "-c", "cat new/deep/one; ls new"), ENV, str(top), (made_file(top), made_folder(top))),
        Command(("sh", "-c", "kill -9 $$"), ENV, "/"),
        Command(("sh", "-c", "kill -TERM -1; exit 3"), ENV, "/"),
        Command(("sh", "-c", "kill -9 1; echo still"), ENV, "/", (("proc",),)),
    ]


def made_file(top: Path) -> tuple[str, str, str]:
    (top / "file").write_text("text")
    return "bind", str(top / "file"), str(top / "new/deep/one")


def made_folder(top: Path) -> tuple[str, str, str]:
    return "ro", str(top / "scripts"), str(top / "new/folder")


def test_all_ends_alike_with_and_without_the_extension(both: tuple[Spawner, Spawner], tmp_path: Path) -> None:
    for command in odd_commands(tmp_path):
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        native = end(both[0], command)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        assert native == end(both[1], command), command


def test_plain_and_other_requests_take_turns(both: tuple[Spawner, Spawner]) -> None:
    for _ in range(3):
        for limits in (None, NO_LIMITS):
            assert end(both[0], Command(("echo", "x"), ENV, "/", limits=limits)) == (Exit(code=0), b"x\n", b"")
        assert end(both[0], Command(("true",), ENV, "/", shares_pids=True))[0] == Exit(code=0)


@pytest.mark.parametrize("size", range((1 << 16) - 64, (1 << 16) + 1, 3))
def test_requests_around_the_longest_plain_one(both: tuple[Spawner, Spawner], size: int) -> None:
    ended, out, _err = end(both[0], Command(("printf", "%s", "x" * size), ENV, "/"))
    assert (ended, len(out)) == (Exit(code=0), size)


def test_many_words(both: tuple[Spawner, Spawner]) -> None:
    for count in (4000, 4090, 4095, 5000):
        ended, out, _err = end(both[0], Command(("printf", ".%s", *[""] * count), ENV, "/"))
        assert (ended, len(out)) == (Exit(code=0), count)


def test_names_of_what_was_left_may_be_any_bytes(both: tuple[Spawner, Spawner], tmp_path: Path) -> None:
    names = [b'"\\', b"\xff\x01", b") Z 1", "\u00e9".encode()]
    for name in names:
        os.symlink("/bin/sleep", os.path.join(os.fsencode(tmp_path), name))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Each is past its exec, which closes the descriptor that only the shell has.
    start = "".join(f"'{os.fsdecode(name)}' 1000 3>&- & " for name in names)
    text = f"{start} while [ $(grep -l sleep /proc/[0-9]*/maps 2>/dev/null | wc -l) -lt {len(names)} ]; do :; done"
    found = [
        end(one, Command(("sh", "-c", text), {"PATH": f"{os.defpath}:{tmp_path}"}, "/", (("proc",),))) for one in both
    ]
    assert found[0] == found[1]
    assert found[0][0] is not None
    assert set(found[0][0].left) == {name.decode(errors="replace") for name in names}


def test_the_spawner_keeps_no_descriptor(both: tuple[Spawner, Spawner]) -> None:
    def held() -> list[str]:
        return sorted(os.listdir(f"/proc/{both[0].pid}/fd"))

    end(both[0], Command(("true",), ENV, "/"))
    before = held()
    for limits in (None, NO_LIMITS, None):
        end(both[0], Command(("true",), ENV, "/", limits=limits))
    # The spawner closes what it passed on before it hears the next request.
    end(both[0], Command(("true",), ENV, "/"))
    assert held() == before


words = st.text(st.characters(exclude_categories=()), max_size=6)


@given(
    argv=st.lists(words, min_size=1, max_size=5),
    env=st.dictionaries(words, words, max_size=5),
    cwd=words,
    mounts=st.lists(st.tuples(st.just("bind"), words, words) | st.just(("proc",)), max_size=3),
)
def test_a_plain_message_holds_every_word(
    argv: list[str], env: dict[str, str], cwd: str, mounts: list[tuple[str, ...]]
) -> None:
    message = plain.encode(Request(argv=argv, env=env, cwd=cwd, mounts=mounts, limits=None, shares_pids=False))
    given = [*argv, *env, *env.values(), cwd, *(word for step in mounts for word in step)]
    if message is None:
        assert any("\0" in word or any("\ud800" <= char <= "\udfff" for char in word) for word in given) or any(
            not name or "=" in name for name in env
        )
        return
    counts = struct.unpack("=3I", message[:12])
    found = [os.fsdecode(word) for word in message[12:-1].split(b"\0")]
    steps = [word for step in mounts for word in ({"bind": "b", "proc": "p"}[step[0]], *step[1:])]
    assert counts == (len(argv), len(env), len(steps))
    assert [os.fsencode(word) for word in found] == [
        os.fsencode(word) for word in (*argv, *(f"{name}={value}" for name, value in env.items()), cwd, *steps)
    ]


@pytest.mark.parametrize(
    "fields",
    [{"limits": NO_LIMITS}, {"shares_pids": True}, {"mounts": [["files", "/x"]]}, {"argv": []}, {"cwd": "x" * 70000}],
)
def test_what_is_not_plain_is_left_to_the_other_form(fields: dict[str, object]) -> None:
    usual = Request(argv=["true"], env={}, cwd="/", mounts=[], limits=None, shares_pids=False)
    assert plain.encode(usual) is not None
    assert plain.encode({**usual, **fields}) is None  # type: ignore[typeddict-item]
