"""Runs of the machine: short ones in the suite, long ones in the long lane."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pfs.upkeep.check import fsck
from tests.s3api.machine.machine import Machine, Site


@pytest.fixture
def site() -> Iterator[Site]:
    """A store with two gateways, in memory where there is some."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="pfs-machine-", dir=memory if memory.is_dir() else None))
    made = Site(folder / "home")
    yield made
    made.close()
    shutil.rmtree(folder)


def run(site: Site, *, examples: int, steps: int, shrink: bool = False) -> None:
    """Run the machine; shrinking what failed takes minutes, for gateways are started again in it."""

    class OnSite(Machine):
        pass

    OnSite.site = site
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks, phases=phases
    )
    run_state_machine_as_test(OnSite, settings=chosen)
    assert list(fsck(site.store, deep=True)) == []


def test_readers_and_writers(site: Site) -> None:
    run(site, examples=5, steps=20)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_readers_and_writers_for_long(site: Site) -> None:
    run(site, examples=150, steps=80, shrink=True)
