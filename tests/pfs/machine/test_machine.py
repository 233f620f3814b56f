"""The store against the model: some hundreds of steps here, thousands in the long lane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.pfs.machine.base import ended
from tests.pfs.machine.machine import RULES, StoreMachine, focused

LEAST = 50
"""How often each rule must have done its work in the long lane."""
REFUSED = {"collide"}
"""Rules whose work is to be refused."""


@pytest.fixture(autouse=True)
def _other_process() -> Iterator[None]:
    yield
    ended()


def _run(machine: type[StoreMachine], *, examples: int, steps: int) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=options)


def _seldom() -> list[str]:
    """Return the rules that did not do their work often enough yet."""
    counts = {name: StoreMachine.refused if name in REFUSED else StoreMachine.done for name in [*RULES, "rebuild"]}
    return [name for name, count in counts.items() if count[name] < LEAST]


def test_a_store_does_what_dictionaries_do() -> None:
    _run(StoreMachine, examples=25, steps=25)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_store_does_what_dictionaries_do_for_thousands_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    done, refused = StoreMachine.done, StoreMachine.refused
    done.clear()
    refused.clear()
    _run(StoreMachine, examples=400, steps=50)
    for _ in range(20):
        rules = {"reopen" if name == "rebuild" else name for name in _seldom()}
        if rules:
            _run(focused(rules), examples=50, steps=40)
    with capsys.disabled():
        print("\nrule              done  refused")
        for name in [*RULES, "rebuild"]:
            print(f"{name:15} {done[name]:6} {refused[name]:8}")
        print(f"{'steps':15} {done.total():6} {refused.total():8}")
    assert not _seldom(), f"ran less than {LEAST} times: {', '.join(_seldom())}"
