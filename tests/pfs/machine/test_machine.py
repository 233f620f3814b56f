"""The store against the model: some hundreds of steps here, thousands in the long lane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.pfs.machine.base import ended
from tests.pfs.machine.machine import StoreMachine

LEAST = 50
"""How often each rule must have done its work in the long lane."""
REFUSED = {"collide"}
"""Rules whose work is to be refused."""


@pytest.fixture(autouse=True)
def _other_process() -> Iterator[None]:
    yield
    ended()


def _run(*, examples: int, steps: int) -> None:
    StoreMachine.done.clear()
    StoreMachine.refused.clear()
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(StoreMachine, settings=options)


def test_a_store_does_what_dictionaries_do() -> None:
    _run(examples=30, steps=25)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_store_does_what_dictionaries_do_for_thousands_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    _run(examples=1_500, steps=50)
    done, refused = StoreMachine.done, StoreMachine.refused
    rules = sorted({one.function.__name__ for one in StoreMachine.setup_state().rules} | {"rebuild"})
    with capsys.disabled():
        print("\nrule              done  refused")
        for name in rules:
            print(f"{name:15} {done[name]:6} {refused[name]:8}")
        print(f"{'steps':15} {done.total():6} {refused.total():8}")
    seldom = [name for name in rules if (refused if name in REFUSED else done)[name] < LEAST]
    assert not seldom, f"ran less than {LEAST} times: {', '.join(seldom)}"
