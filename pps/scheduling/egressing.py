"""The egress of one job: a thread that sends, and tries again until it is done, refused or stopped."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from pfs.errors import InvalidInputError, PfsError
from pfs.paths import to_key
from pps.model import events
from pps.scheduling.deliveries import Deliveries, Run
from pps.spec.types import Egress
from pps.transfers.errors import PlaceRefusedError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfs.trees.tree import Tree
    from pps.egress.delivered import Notes
    from pps.model.catalog import Pipeline

FIRST_S: Final = 1.0
MOST_S: Final = 300.0
REFUSED_TRIES: Final = 4
"""So many tries in a row that are refused fail the job: what was just made or allowed may take a moment to count."""
_GRACE_S: Final = 5.0


class Sender(Protocol):
    """What is sent, and what has to be cleared away when it never will be."""

    def send(self, stop: threading.Event) -> object:
        """Send what is not there; may be called again."""

    def abandon(self) -> None:
        """Take away what is there of files that are not whole."""


class Egressing:
    """Has a sender send until it is done: after trouble again, after 1 s, then twice as long each time up to 5 min.

    What is refused four times in a row is given up. ``wake``: called when it is over, and when ``trouble`` is another.
    """

    def __init__(self, sender: Sender, wake: Callable[[], object], *, first_s: float = FIRST_S) -> None:
        self._sender, self._wake, self._first_s = sender, wake, first_s
        self._stop = threading.Event()
        self._goes_on = False
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self.is_done = False
        self.refusal = ""
        """Why it was given up."""
        self.trouble = ""
        """What went wrong last, and when it is tried again, in one line."""
        self.failure: BaseException | None = None
        """What ended it that is no trouble of a store or network: a defect, for the caller to raise."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, goes_on: bool = False) -> bool:
        """End it; what is under way is broken off, waited for 5 s at most; say whether it has ended. Idempotent.

        ``goes_on``: another controller goes on with it, so that parts of large files stay where they are.
        """
        self._goes_on = self._goes_on or goes_on
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_GRACE_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._until_done()
        except Stopped:
            if not self._goes_on:
                self._sender.abandon()
        except BaseException as error:
            self.failure = error
        finally:
            self._wake()

    def _until_done(self) -> None:
        pause_s, refused = self._first_s, 0
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                self._sender.send(self._stop)
                self.trouble, self.is_done = "", True
                return
            except PfsError as error:
                refused = refused + 1 if isinstance(error, PlaceRefusedError | InvalidInputError) else 0
                if refused == REFUSED_TRIES:
                    self._sender.abandon()
                    self.trouble, self.refusal = "", f"egress: {error}"
                    return
                self.trouble = f"egress: {error}; tried again every {pause_s:g} s"
                self._wake()
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, MOST_S)


class JobEgress:
    """The egress of a job as its thread sees it; of most jobs nothing."""

    def __init__(self, pipeline: Pipeline, wake: Callable[[], object]) -> None:
        self._pipeline, self._wake = pipeline, wake
        self._sending: Egressing | None = None
        self._deliveries: Deliveries | None = None
        self.trouble = ""
        """What went wrong last, as far as it was told."""

    def begin(self, run: Run, output: Tree, tell: events.OnEvent) -> bool:
        """Begin to send an output; False for an empty one, for which nothing has to be done.

        What a pipeline is to send, and the output has not, is told.
        """
        if not output.root.count:
            return False
        spec = self._pipeline.spec
        # Outputs of tasks say themselves what it means that they are missing.
        paths = [one.path for one in spec.egresses if isinstance(one, Egress)] if spec.transform.task is None else []
        for path in paths:
            if path.strip("/") and output.stat(to_key(path)) is None:
                tell(events.NothingToSend(self._pipeline.name, run.job, path))
        self._deliveries = Deliveries(run, self._pipeline, output)
        self._sending = Egressing(self._deliveries, self._wake, first_s=FIRST_S)
        self._sending.start()
        return True

    def is_done(self, tell: events.OnEvent) -> bool:
        """Say whether all was sent, or refused; new trouble is told. Raises what is a defect."""
        sending = self._sending
        if sending is None:
            return False
        if sending.failure is not None:
            raise sending.failure
        if sending.trouble != self.trouble:
            self.trouble = sending.trouble
            if self.trouble:
                tell(events.Trouble(self._pipeline.name, self.trouble))
        return sending.is_done or bool(sending.refusal)

    @property
    def refusal(self) -> str:
        """Why it was given up; empty if it was not."""
        return "" if self._sending is None else self._sending.refusal

    def notes(self) -> list[Notes]:
        """Return what was delivered, once: after `is_done`, or after `end`, if that could end it."""
        if self._deliveries is None or self._sending is None or not self._sending.stop():
            return []
        return self._deliveries.take_notes()

    def end(self, *, goes_on: bool = False) -> None:
        """Stop what is sent, if anything is; ``goes_on``: by the next controller. Idempotent."""
        if self._sending is not None:
            self._sending.stop(goes_on=goes_on)
        for one in self.notes() if goes_on else []:
            one.session.abandon()  # what is there is found again
        self.trouble = ""
