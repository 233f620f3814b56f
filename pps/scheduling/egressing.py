"""The egress of one job: a thread that sends, and tries again until it is done or stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final

from pfs.errors import InvalidInputError, NotFoundError, PfsError
from pfs.trees.tree import Tree
from pps.egress.send import Stopped, send
from pps.egress.sql import Database, load
from pps.egress.target import open_target
from pps.model import events
from pps.model.catalog import Pipeline, read_version
from pps.model.state import JobState
from pps.secret_store import Secrets
from pps.spec.types import Egress, SqlEgress

if TYPE_CHECKING:
    from pfs.store import Store

FIRST_S: Final = 1.0
MOST_S: Final = 300.0
_GRACE_S: Final = 5.0


class Egressing:
    """Calls ``send`` until it returns: after an error again, after a second, then twice as long each time up to 5 min.

    ``wake``: called when it is done, and when ``trouble`` is another.
    """

    def __init__(
        self, send: Callable[[threading.Event], object], wake: Callable[[], object], *, first_s: float = FIRST_S
    ) -> None:
        self._send, self._wake, self._first_s = send, wake, first_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self.is_done = False
        self.trouble = ""
        """What went wrong last, and when it is tried again, in one line."""
        self.failure: BaseException | None = None
        """What ended it that is no trouble of a store or network: a defect, for the caller to raise."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; what is under way is broken off, waited for 5 s at most. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_GRACE_S)

    def _run(self) -> None:
        pause_s = self._first_s
        try:
            while not self._stop.is_set():
                try:
                    self._send(self._stop)
                    self.trouble, self.is_done = "", True
                    return
                except PfsError as error:
                    self.trouble = f"egress: {error}; tried again every {pause_s:g} s"
                    self._wake()
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, MOST_S)
        except Stopped:
            pass
        except BaseException as error:
            self.failure = error
        finally:
            self._wake()


class JobEgress:
    """The egress of a job as its thread sees it; of most jobs nothing."""

    def __init__(self, store: Store, pipeline: Pipeline, wake: Callable[[], object]) -> None:
        self._store, self._pipeline, self._wake = store, pipeline, wake
        self._sending: Egressing | None = None
        self.trouble = ""
        """What went wrong last, as far as it was told."""

    def begin(self, output: Tree) -> bool:
        """Begin to send an output; False for an empty one, for which nothing has to be done."""
        if not output.root.count:
            return False
        self._sending = Egressing(sender(self._store, self._pipeline, output), self._wake)
        self._sending.start()
        return True

    def is_done(self, tell: events.OnEvent) -> bool:
        """Say whether all was sent; new trouble is told. Raises what is a defect."""
        sending = self._sending
        if sending is None:
            return False
        if sending.failure is not None:
            raise sending.failure
        if sending.trouble != self.trouble:
            self.trouble = sending.trouble
            if self.trouble:
                tell(events.Trouble(self._pipeline.name, self.trouble))
        return sending.is_done

    def end(self) -> None:
        """Stop what is sent, if anything is. Idempotent."""
        if self._sending is not None:
            self._sending.stop()
        self.trouble = ""


def sender(store: Store, pipeline: Pipeline, output: Tree) -> Callable[[threading.Event], object]:
    """Return what sends an output, which is not committed yet, to where its pipeline's spec says.

    ``pipeline``: as it was when the job began, so that its head is what was sent last. Secrets are read at each try.
    """

    def once(stop: threading.Event) -> None:
        for egress in pipeline.spec.egresses:
            if isinstance(egress, SqlEgress):
                load(store.objects, output, _database(store, egress), stop=stop)
                continue
            with closing(open_target(egress.url, _settings(store, egress))) as target:
                send(store.objects, output, target, before=_sent_before(store, pipeline, egress), stop=stop)

    return once


def _database(store: Store, egress: SqlEgress) -> Database:
    password = Secrets(store).values(egress.secret).get(egress.key) if egress.secret else None
    if egress.secret and password is None:
        raise NotFoundError(f"secret {egress.secret!r} has no key {egress.key!r}")
    text = None if password is None else password.decode(errors="replace").strip()
    return Database(egress.url, egress.format, egress.columns, text)


def _settings(store: Store, egress: Egress) -> dict[str, str]:
    if not egress.secret:
        return {}
    values = Secrets(store).values(egress.secret)
    try:
        return {name: value.decode().strip() for name, value in values.items()}
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"secret {egress.secret!r} has a value that is no text") from error


def _sent_before(store: Store, pipeline: Pipeline, egress: Egress) -> Tree | None:
    """Return what the last job sent to the same place: the head, if a job with the same egress made it."""
    job = None if pipeline.output is None else pipeline.jobs.find(pipeline.output)
    job = job if job is not None and job.state == JobState.SUCCESS else None
    record = None if job is None else store.history.find(pipeline.name, job.id)
    if job is None or record is None:
        return None
    spec, _ = read_version(store, pipeline.name, job.spec_commit)
    return Tree(store.objects, record.tree_root()) if egress in spec.egresses else None
