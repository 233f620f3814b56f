"""Writers, readers and two collectors on machines of their own, interleaved call by call as hypothesis likes.

Calls fail, replies get lost, machines die and come back, owners oversleep, months pass. In the end everybody finishes;
then nothing that is live is lost, every commit that was acknowledged is there once, and a writer alone can go on.
"""

import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pfs.errors import ConflictError, MissingObjectError, NotFoundError, PfsError, StorageError
from pfs.store import Store
from tests.pfs.collection_world import DEAD, Prepared, World, body
from tests.pfs.interleave import Actor, Crashed, Then

WRITERS, COLLECTORS, READERS = ("w1", "w2"), ("c1", "c2"), ("r1",)
MACHINES = (*WRITERS, *COLLECTORS, *READERS)
PATHS = st.sampled_from(["/a", "/b", "/c", "/d/e", "/d/f"])
CONTENTS = st.sampled_from([DEAD, body("1"), body("2"), body("3")])
MINUTE_NS = 60 * 1_000_000_000
MONTH_NS = 31 * 24 * 60 * MINUTE_NS


class Protocol(RuleBasedStateMachine):
    prepared: ClassVar[Prepared]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(self.prepared, Path(self._folder.name))
        self.actors: dict[str, Actor] = {}
        self.faults: dict[str, int] = dict.fromkeys(MACHINES, 0)
        self.began_in: dict[str, int] = {}
        self.messages: dict[str, str] = {}
        self.month = self.number = 0
        self.acknowledged: dict[str, str] = {}
        self.refused: set[str] = set()
        self.dropped: set[str] = set()
        self.unsure = False
        """Whether a drop may have happened that nobody was told of."""

    @initialize()
    def boot(self) -> None:
        for name in MACHINES:
            self.world.machine(name)

    def _begin(self, name: str, verb: str, *args: object) -> None:
        if name in self.actors:
            return
        options: dict[str, object] = {}
        if verb in ("put", "append", "copy", "put_in_steps"):
            self.number += 1
            options["message"] = self.messages[name] = str(self.number)
        self.faults[name], self.began_in[name] = 0, self.month
        self.actors[name] = self.world.machine(name).act(verb, *args, **options)
        self._look(name)

    @rule(
        name=st.sampled_from(WRITERS),
        verb=st.sampled_from(["put", "append", "put_in_steps"]),
        path=PATHS,
        content=CONTENTS,
    )
    def write(self, name: str, verb: str, path: str, content: bytes) -> None:
        self._begin(name, verb, path, content)

    @rule(name=st.sampled_from(WRITERS), path=PATHS)
    def copy(self, name: str, path: str) -> None:
        self._begin(name, "copy", path)

    @rule(name=st.sampled_from(WRITERS))
    def drop(self, name: str) -> None:
        self._begin(name, "drop")

    @rule(name=st.sampled_from(WRITERS))
    def tag(self, name: str) -> None:
        self.number += 1
        self._begin(name, "tag", f"t{self.number}")

    @rule(name=st.sampled_from(WRITERS), steps=st.integers(1, 4))
    def back(self, name: str, steps: int) -> None:
        self.number += 1
        self._begin(name, "back", f"back{self.number}", steps)

    @rule(name=st.sampled_from(COLLECTORS))
    def collect(self, name: str) -> None:
        self._begin(name, "collect")

    @rule(name=st.sampled_from(READERS))
    def read(self, name: str) -> None:
        self._begin(name, "read")

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), calls=st.integers(1, 40))
    def go_on(self, data: st.DataObject, calls: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.actors)))
        self.actors[name].run(calls)
        self._look(name)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def to_the_end(self, data: st.DataObject) -> None:
        self._finish(data.draw(st.sampled_from(sorted(self.actors))))

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), then=st.sampled_from([Then.LOST, Then.FAIL]))
    def fail(self, data: st.DataObject, then: Then) -> None:
        name = data.draw(st.sampled_from(sorted(self.actors)))
        self.faults[name] += 1
        self.actors[name].step(then)
        self._look(name)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.actors)))
        self.actors[name].crash()
        self._look(name)
        self.world.machine(name).reboot()

    @rule(months=st.booleans())
    def time_passes(self, months: bool) -> None:
        self.month += months
        self.world.now_ns += MONTH_NS if months else 15 * MINUTE_NS

    def _finish(self, name: str) -> None:
        self.actors[name].run()
        self._look(name)

    def _look(self, name: str) -> None:
        """Take note of how an actor ended, if it did."""
        actor = self.actors[name]
        if not actor.over:
            return
        del self.actors[name]
        error, message = actor.error, self.messages.pop(name, None)
        event(f"{actor.name}: {type(error).__name__}")
        if not isinstance(error, PfsError | Crashed | None):
            raise error
        told = error is not None and not isinstance(error, Crashed | StorageError)
        if actor.name == "drop":
            self.unsure |= error is not None and not told
            self.dropped |= set() if error is not None else {str(actor.result)}
        elif message is not None and error is None:
            self.acknowledged[message] = str(actor.result)
        elif message is not None and told:
            self.refused.add(message)
        elif actor.name == "read" and error is None:
            assert actor.result is not None
        self._check_error(actor, error, faults=self.faults[name], late=self.began_in[name] != self.month)

    def _check_error(self, actor: Actor, error: BaseException | None, *, faults: int, late: bool) -> None:
        """Only what somebody else did may stop anyone, and nothing stops a reader but faults of its own."""
        expected: tuple[type[BaseException], ...] = (Crashed, NotFoundError)
        if actor.name != "read":
            expected += (ConflictError,)
        if faults:
            expected += (StorageError,)
        if late:  # what it had begun with was dropped a month ago
            expected += (MissingObjectError,)
        if error is not None and not isinstance(error, expected):
            raise error

    def teardown(self) -> None:
        try:
            for name in sorted(self.actors):
                self._finish(name)
            self._check_all()
        finally:
            for actor in self.actors.values():
                actor.crash()
            self.world.close()
            self._folder.cleanup()

    def _check_all(self) -> None:
        survivor = self.world.machine("w1")
        survivor.put("/last", DEAD, message="last")
        assert self.world.check(index=self.world.directory / "check") == []
        assert survivor.read()["/last"] == DEAD
        self._check_history(survivor.store)
        survivor.collect()
        assert self.world.check(index=self.world.directory / "check again") == []
        assert self.world.machine("r1").read() == survivor.read()

    def _check_history(self, store: Store) -> None:
        history = list(store.repo("r").commits("master"))
        messages = [info.message for info in history]
        for message in set(messages) - {""}:
            assert messages.count(message) == 1, "a commit was made twice"
        assert not self.refused.intersection(messages), "what was refused has happened"
        there = {info.id for info in history}
        for message, commit in self.acknowledged.items():
            if commit not in self.dropped and not self.unsure:
                assert commit in there, f"acknowledged commit {message} is lost"


def run_machine(prepared: Prepared, *, examples: int, steps: int) -> None:
    Protocol.prepared = prepared
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who backs off waits for nobody here: the others stand still."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_a_few_interleavings(prepared: Prepared) -> None:
    run_machine(prepared, examples=8, steps=25)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_interleavings(prepared: Prepared) -> None:
    run_machine(prepared, examples=150, steps=60)
