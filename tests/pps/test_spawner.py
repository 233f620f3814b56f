from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pps.sandbox import spawner_main
from pps.sandbox import syscalls as sandbox_syscalls
from pps.sandbox.running import Exit
from pps.sandbox.spawner import _BOOT, Command, Mode, Spawner, SpawnerLostError

ENV = {"PATH": os.defpath}


def works(mode: Mode, anchor: Path, *, native: bool = True) -> Spawner:
    if mode != "none" and not sandbox_syscalls.available():
        pytest.skip("no mount namespaces on this system")
    spawner = Spawner(mode, anchor, native=native)
    error = spawner.hello()["error"]
    if error:
        spawner.close()
        pytest.skip(f"mode {mode!r} is not possible here: {error}")
    return spawner


@pytest.fixture(params=["none", "user", "mount", "user-pure", "mount-pure"])
def spawner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spawner]:
    mode, _, pure = request.param.partition("-")
    found = works(mode, tmp_path / "anchor", native=not pure)
    yield found
    found.close()


class Output:
    def __init__(self) -> None:
        self.out, self.err = b"", b""

    def take(self, stream: str, data: bytes) -> None:
        if stream == "out":
            self.out += data
        else:
            self.err += data


def run(
    spawner: Spawner, *argv: str, stdin: bytes = b"", timeout_s: float | None = 60.0, **fields: object
) -> tuple[Exit | None, Output]:
    output = Output()
    reader, writer = os.pipe()
    os.write(writer, stdin)
    os.close(writer)
    env = fields.get("env", ENV)
    assert isinstance(env, dict)
    try:
        running = spawner.start(Command(argv, env, str(fields.get("cwd", "/"))), stdin=reader)
    finally:
        os.close(reader)
    return running.wait(output.take, timeout_s=timeout_s), output


def processes_with(text: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line.split(b"\0"):
                found.append(int(name))
    return found


def test_output_streams_and_exit_code(spawner: Spawner) -> None:
    ended, output = run(spawner, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert ended == Exit(code=3)
    assert (output.out, output.err) == (b"out\n", b"err\n")


def test_environment_is_exactly_what_was_given(spawner: Spawner) -> None:
    _ended, output = run(spawner, "env", env={"A": "x=y\nz", **ENV})
    assert sorted(output.out.splitlines()) == sorted([b"A=x=y", b"z", b"PATH=" + os.defpath.encode()])


def test_stdin_and_working_directory(spawner: Spawner) -> None:
    ended, output = run(spawner, "sh", "-c", "cat; pwd", stdin=b"one\ntwo\n", cwd="/usr")
    assert ended == Exit(code=0)
    assert output.out == b"one\ntwo\n/usr\n"


def test_no_descriptor_but_three_reaches_the_command(spawner: Spawner) -> None:
    _ended, output = run(spawner, "sh", "-c", "ls /proc/self/fd")
    # The fourth is that of ls itself, reading the directory.
    assert output.out.split() == [b"0", b"1", b"2", b"3"]


def test_signals_are_as_in_a_fresh_process(spawner: Spawner) -> None:
    ended, _output = run(spawner, "sh", "-c", "yes | head -n 1 >/dev/null; kill -PIPE $$; exit 5")
    assert ended == Exit(signal=signal.SIGPIPE)


@pytest.mark.parametrize(("name", "code"), [("no-such-command", 127), ("/no/such/file", 127), ("/etc", 126)])
def test_what_cannot_be_run_is_named_on_stderr(spawner: Spawner, name: str, code: int) -> None:
    ended, output = run(spawner, name)
    assert ended == Exit(code=code)
    assert output.err.startswith(f"pps: cannot run {name}: ".encode())


def test_missing_working_directory_is_named(spawner: Spawner) -> None:
    ended, _output = run(spawner, "true", cwd="/no/such/folder")
    assert ended is not None
    assert ended.error is not None
    assert ended.error.endswith("the working directory cannot be entered: No such file or directory: /no/such/folder")


def test_megabytes_of_arguments_cross(spawner: Spawner) -> None:
    words = ["x" * 100_000] * 10
    ended, output = run(spawner, "sh", "-c", 'printf %s "$*" | wc -c', "sh", *words)
    assert ended == Exit(code=0)
    assert int(output.out) == 1_000_009


def test_timeout_kills_all_descendants(spawner: Spawner) -> None:
    mark = f"86{os.getpid()}1"
    script = f"setsid sh -c 'trap \"\" TERM; sleep {mark} & wait' & (sleep {mark} &) ; sleep {mark}"
    ended, _output = run(spawner, "sh", "-c", script, timeout_s=0.3)
    assert ended == Exit(signal=signal.SIGKILL, timed_out=True)
    assert processes_with(mark) == []


def test_what_a_finished_command_left_behind_is_killed(spawner: Spawner) -> None:
    mark = f"86{os.getpid()}2"
    ended, _output = run(spawner, "sh", "-c", f"setsid sleep {mark} & exit 0")
    assert ended.code == 0
    assert set(ended.left) <= {"sh", "setsid", "sleep"}, "none of others, whatever /proc is there"
    assert processes_with(mark) == []


def test_an_init_that_was_stopped_is_killed_from_outside(tmp_path: Path) -> None:
    """Without namespaces a command may send any signal to what its user runs, its init among it."""
    spawner = Spawner("none", tmp_path)
    mark = f"86{os.getpid()}3"
    try:
        ended, _output = run(spawner, "sh", "-c", f"kill -STOP $PPID; sleep {mark}", timeout_s=0.3)
    finally:
        spawner.close()
    assert ended == Exit(signal=signal.SIGKILL, timed_out=True)
    end = time.monotonic() + 60
    while processes_with(mark):  # nobody is left to wait for it
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_stop_gives_grace(spawner: Spawner) -> None:
    output = Output()

    def take(stream: str, data: bytes) -> None:
        output.take(stream, data)
        running.stop(20.0)
        running.stop(30.0)

    with open(os.devnull, "rb") as null:
        script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
        running = spawner.start(Command(("sh", "-c", script), ENV, "/"), stdin=null.fileno())
    ended = running.wait(take, timeout_s=60)
    assert ended == Exit(code=4, cancelled=True)
    assert output.out == b"ready\nbye\n"


def test_stop_kills_what_ignores_it(spawner: Spawner) -> None:
    with open(os.devnull, "rb") as null:
        argv = ("sh", "-c", "trap '' TERM; echo ready; sleep 1000")
        running = spawner.start(Command(argv, ENV, "/"), stdin=null.fileno())
    ended = running.wait(lambda _stream, _data: running.stop(0.1), timeout_s=60)
    assert ended == Exit(signal=signal.SIGKILL, cancelled=True)


def test_flood_on_both_streams_does_not_block(spawner: Spawner) -> None:
    ended, output = run(spawner, "sh", "-c", "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero")
    assert ended == Exit(code=0)
    assert (len(output.out), len(output.err)) == (3_000_000, 3_000_000)


def test_killed_spawner_is_started_again(spawner: Spawner) -> None:
    assert run(spawner, "true")[0] == Exit(code=0)
    first = spawner.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    ended, output = run(spawner, "echo", "back")
    assert (ended, output.out) == (Exit(code=0), b"back\n")
    assert spawner.pid != first


def test_killed_init_ends_the_command(spawner: Spawner) -> None:
    mark = f"86{os.getpid()}3"
    seen = threading.Event()
    with open(os.devnull, "rb") as null:
        argv = ("sh", "-c", f"echo ready; sleep {mark}")
        running = spawner.start(Command(argv, ENV, "/"), stdin=null.fileno())

    def kill_init() -> None:
        assert seen.wait(30)
        children = Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill_init)
    killer.start()
    ended = running.wait(lambda _stream, _data: seen.set(), timeout_s=60)
    killer.join()
    assert ended == Exit(signal=signal.SIGKILL)


def test_commands_side_by_side(spawner: Spawner) -> None:
    results: dict[int, tuple[Exit | None, Output]] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.__setitem__(n, run(spawner, "sh", "-c", f"echo {n}; exit {n}")))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: (ended, output.out) for n, (ended, output) in results.items()} == {
        n: (Exit(code=n), f"{n}\n".encode()) for n in range(8)
    }


def test_closed_spawner_refuses(tmp_path: Path) -> None:
    spawner = Spawner("none", tmp_path)
    spawner.hello()
    pid = spawner.pid
    spawner.close()
    spawner.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(SpawnerLostError):
        run(spawner, "true")


def test_no_descriptor_is_lost(tmp_path: Path) -> None:
    spawner = Spawner("none", tmp_path)
    run(spawner, "true")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(spawner, "true")
    assert sorted(os.listdir("/proc/self/fd")) == before
    spawner.close()


@pytest.mark.parametrize("mode", ["none", "user", "mount"])
def test_commands_end_when_their_starter_dies(tmp_path: Path, mode: Mode) -> None:
    works(mode, tmp_path / "anchor").close()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        "import os, pathlib\n"
        "from pps.sandbox.spawner import Command, Spawner\n"
        f"spawner = Spawner({mode!r}, pathlib.Path({str(tmp_path / 'anchor')!r}))\n"
        f"argv = ('sh', '-c', 'echo ready; exec sleep 1000 > {fifo}')\n"
        "running = spawner.start(Command(argv, {'PATH': os.defpath}, '/'), stdin=os.open('/dev/null', 0))\n"
        "running.wait(lambda stream, data: None, timeout_s=60)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env) as starter, fifo.open("rb") as reader:
        starter.kill()
        # The end of the file comes when the last process that has it open is gone.
        assert reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\1\0{"])
def test_the_spawner_ends_quietly_with_its_executor(tmp_path: Path, sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs, (tmp_path / "stderr").open("wb") as stderr:
        argv = [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(spawner_main.__file__).parents[1])]
        argv += [str(theirs.fileno()), "none", "native", str(tmp_path)]
        process = subprocess.Popen(argv, pass_fds=(theirs.fileno(),), stderr=stderr)
    if sent:
        ours.recv(4096)
        ours.sendall(sent)
    # Unread bytes make the close a reset, as when the executor is killed.
    ours.close()
    assert process.wait(60) == 0
    assert (tmp_path / "stderr").read_bytes() == b""
