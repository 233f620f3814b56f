"""A controller that serves beside a test, and commands that run on; what happens is waited for, never slept for."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cli.job_gateways import job_gateways
from pps.controller import Controller, local_executors
from pps.model import events
from pps.model.infos import JobInfo, PipelineInfo
from pps.scheduling.backoff import Backoff
from pps.spec import Spec, parse_specs
from pps.spec.node import Plain
from tests.pps.pipe_world import World

WAIT_S = 120.0
QUICK = Backoff(first_s=0.01, longest_s=0.05)
ROOT = Path(__file__).parents[2]


class Told:
    """What a controller tells, in order; one waits for what one wants and passes the rest over."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[events.RunEvent] = queue.SimpleQueue()
        self.all: list[events.RunEvent] = []

    def __call__(self, event: events.RunEvent) -> None:
        self.all.append(event)
        self._queue.put(event)

    def wait(self, wanted: Callable[[events.RunEvent], bool]) -> events.RunEvent:
        while True:
            event = self._queue.get(timeout=WAIT_S)
            if wanted(event):
                return event

    def state(self, pipeline: str, state: str) -> events.Stands:
        """Wait until the command of a pipeline is in a state."""
        found = self.wait(lambda one: isinstance(one, events.Stands) and (one.pipeline, one.state) == (pipeline, state))
        assert isinstance(found, events.Stands)
        return found

    def ended(self, pipeline: str) -> JobInfo:
        """Wait for the end of a job."""
        found = self.wait(lambda one: isinstance(one, events.JobFinished) and one.job.pipeline == pipeline)
        assert isinstance(found, events.JobFinished)
        return found.job


@contextmanager
def serving(world: World, *, backoff: Backoff = QUICK, isolation: str = "auto") -> Iterator[Told]:
    """Run a controller beside."""
    told, stop = Told(), threading.Event()
    executors = local_executors(world.store, slots=2, gateways=job_gateways(world.store))
    controller = Controller(world.store, executors, backoff=backoff, isolation=isolation)
    thread = threading.Thread(target=controller.serve, args=(stop,), kwargs={"on_event": told})
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


def spec(world: World, name: str, cmd: Sequence[str], **fields: Plain) -> Spec:
    """Return a spec whose command finds the packages of this project; fields may replace the transform's too."""
    env = {"PYTHONPATH": str(ROOT)}
    document: dict[str, Plain] = {
        "pipeline": {"name": name},
        "transform": {"cmd": list(cmd), "env": env},
        **fields,
    }
    (made,) = parse_specs(json.dumps(document), name=f"{name}.json")
    return made


def create(world: World, name: str, cmd: Sequence[str], **fields: Plain) -> PipelineInfo:
    return world.pipelines.create(spec(world, name, cmd, **fields), base_dir=world.folder)


class Pipe:
    """A FIFO on which commands say a line each, outside their private /tmp."""

    def __init__(self, folder: Path, name: str = "said") -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self._file = os.fdopen(os.open(self.path, os.O_RDWR), "r+b", buffering=0)

    def line(self) -> str:
        return self._file.readline().decode().rstrip("\n")

    def say(self, text: str) -> None:
        self._file.write(f"{text}\n".encode())

    def close(self) -> None:
        self._file.close()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


SERVE = """
import sys, threading
import pfs
from cli.job_gateways import job_gateways
from pps.controller import Controller, local_executors

with pfs.open(sys.argv[1]) as store:
    Controller(store, local_executors(store, slots=2, gateways=job_gateways(store))).serve(threading.Event())
"""


@contextmanager
def killed_controller(world: World) -> Iterator[None]:
    """Run a controller in a process of its own, which is killed at the end; returns when it is gone."""
    with subprocess.Popen([sys.executable, "-c", SERVE, str(world.folder)], cwd=ROOT) as child:
        try:
            yield
        finally:
            child.send_signal(signal.SIGKILL)
