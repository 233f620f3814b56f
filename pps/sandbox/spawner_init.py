"""The process that stands between the executor and one command: sets /pfs up, starts it, ends all that it started.

It is a fork of the spawner (no exec, so it costs what a fork costs). With a PID namespace it is process 1 in there and
the kernel ends the rest with it; without, it is a subreaper and looks for descendants until none is left. The status
is written only then, so whoever reads it finds /pfs/out at rest. Standard library only, a single thread.

The executor holds the other end of the control pipe: ``T <ms>`` asks for SIGTERM and, that much later, SIGKILL;
``K`` for SIGKILL. When the executor dies the pipe closes, which means K.
"""

from __future__ import annotations

import errno
import json
import math
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypedDict

from pps.sandbox import mounts, syscalls
from pps.sandbox.limits import Exceeded, Limits, Watch


class Request(TypedDict):
    """What crosses the socket for one command."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    mounts: Sequence[Sequence[str]]
    limits: Limits | None
    shares_pids: bool


class Status(TypedDict, total=False):
    """What is written to the status pipe: ``begun``, then ``pid``, in the end ``code`` or ``signal``; or ``error``.

    ``left``: the names of processes that the command had left running when it ended by itself, at most `MOST_LEFT`.
    ``exceeded``: the command used more than its limit of this.
    """

    init: int
    begun: bool
    pid: int
    code: int
    signal: int
    error: str
    left: list[str]
    exceeded: Exceeded


MOST_LEFT = 20


@dataclass(frozen=True, slots=True)
class Pipes:
    """File descriptors of one command: its three, and the two that lead to the executor."""

    stdin: int
    stdout: int
    stderr: int
    status: int
    control: int


def run(request: Request, pipes: Pipes, *, own_pids: bool) -> NoReturn:
    """Be the init of one command; ``own_pids``: this is process 1 of a PID namespace. Ends the process."""
    try:
        wakeup = _watch_children()
        watch = _watch(request["limits"], own_pids=own_pids)
        if request["mounts"]:
            mounts.apply(request["mounts"])
        if not own_pids:
            syscalls.become_subreaper()
        tell(pipes.status, {"begun": True})
        pid = _start(request, pipes)
        tell(pipes.status, {"pid": pid})
        status = _supervise(pid, pipes.control, wakeup, watch)
        if _has_children() and "code" in status and _own_proc():
            status["left"] = [name for child in _descendants() if (name := _name(child))][:MOST_LEFT]
        _end_descendants(pid, wakeup, own_pids=own_pids)
        if watch is not None and "exceeded" not in status and (exceeded := watch.at_end()):
            status["exceeded"] = exceeded
        tell(pipes.status, status)
    except OSError as error:
        what = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        tell(pipes.status, {"error": f"its surroundings could not be made: {what}"})
    except Exception as error:  # an argument that exec does not take, or a bug: either way not the command's end
        tell(pipes.status, {"error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def tell(fd: int, status: Status) -> None:
    """Write one line of the status."""
    # A closed pipe: the executor is gone, and there is nobody left to tell.
    try:
        os.write(fd, json.dumps(status).encode() + b"\n")
    except BrokenPipeError:
        return


def _watch_children() -> int:
    """Return an fd that is readable when a child ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reader


def _start(request: Request, pipes: Pipes) -> int:
    """Start the command in a session of its own; what cannot be found ends like a shell would say it, with 127.

    posix_spawn shares the memory until exec where a fork would copy the page tables a second time: 0.5 ms less.
    """
    argv, env = list(request["argv"]), dict(request["env"])
    dup2 = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((pipes.stdin, pipes.stdout, pipes.stderr))]
    ignored = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD]
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        raise OSError(
            error.errno, f"the working directory cannot be entered: {error.strerror}", request["cwd"]
        ) from error
    os.umask(0o022)
    try:
        program = _find(argv[0], env.get("PATH", os.defpath))
        return os.posix_spawn(program, argv, env, file_actions=dup2, setsid=True, setsigdef=ignored)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        os.write(pipes.stderr, f"pps: cannot run {error.filename or argv[0]}: {error.strerror}\n".encode())
        return _ended_with(127 if missing else 126)


def _find(name: str, path: str) -> str:
    if "/" in name:
        return name
    for directory in path.split(os.pathsep):
        candidate = os.path.join(directory, name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(errno.ENOENT, "command not found", name)


def _ended_with(code: int) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return pid


def _watch(limits: Limits | None, *, own_pids: bool) -> Watch | None:
    """Set the processors, and return what looks at memory and disk."""
    if limits is None:
        return None
    if limits["cpus"]:
        os.sched_setaffinity(0, limits["cpus"])
    return Watch(limits, _all_but_this if own_pids else _descendants)


def _all_but_this() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _supervise(pid: int, control: int, wakeup: int, watch: Watch | None) -> Status:
    """Wait until the command ended, by itself, because the executor asked for it or because it used too much."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wakeup, select.POLLIN)
    kill_at: float | None = None
    while (status := _reap(pid)) is None:
        times = [at for at in (kill_at, None if watch is None else watch.next_at) if at is not None]
        timeout_ms = max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None
        ready = {fd for fd, _event in poller.poll(timeout_ms)}
        if wakeup in ready:
            _drain(wakeup)
        if control in ready:
            grace_s = _order(control)
            if grace_s and kill_at is None:
                _signal_group(pid, signal.SIGTERM)
            kill_at = min(time.monotonic() + grace_s, kill_at or math.inf)
        if kill_at is not None and time.monotonic() >= kill_at:
            return {"signal": signal.SIGKILL}
        if watch is not None and (exceeded := watch.look()):
            return {"signal": signal.SIGKILL, "exceeded": exceeded}
    return status


def _reap(pid: int) -> Status | None:
    """Collect what ended; the status of ``pid`` if it is among it."""
    found: Status | None = None
    while True:
        try:
            ended, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            found = {"signal": os.WTERMSIG(code)} if os.WIFSIGNALED(code) else {"code": os.WEXITSTATUS(code)}


def _order(control: int) -> float:
    """Return the seconds of grace that the executor gives; 0 when it is gone or said K."""
    orders = [line.split() for line in os.read(control, 4096).splitlines()]
    return min((float(words[1]) / 1000 if words[0] == b"T" else 0.0 for words in orders), default=0.0)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 512):
            pass
    except BlockingIOError:
        return


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # Between fork and setsid the group does not exist, and after its end no more.
        return


def _end_descendants(pid: int, wakeup: int, *, own_pids: bool) -> None:
    """SIGKILL all that the command left behind, and wait until it is gone."""
    poller = select.poll()
    poller.register(wakeup, select.POLLIN)
    while _has_children():
        if own_pids:
            _kill(-1)
        else:
            _signal_group(pid, signal.SIGKILL)
            for descendant in _descendants():
                _kill(descendant)
        poller.poll(50)
        _drain(wakeup)


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _own_proc() -> bool:
    """Say whether /proc shows the processes by the numbers that they have here."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _descendants() -> list[int]:
    """List what descends from this process, from /proc; empty where there is none."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _parent(name: str) -> int:
    _, fields = _stat(name)
    return int(fields[1]) if fields else 0


def _name(pid: int) -> str:
    """Return what a process calls itself; empty if it has ended."""
    name, fields = _stat(str(pid))
    return "" if not fields or fields[0] in {b"Z", b"X"} else name.decode(errors="replace")


def _stat(pid: str) -> tuple[bytes, list[bytes]]:
    """Return the name of a process and the fields from its state on; nothing of one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything; the fields after it do not.
            before, _, after = file.read().rpartition(b")")
            return before.partition(b"(")[2], after.split()
    except OSError:
        return b"", []
