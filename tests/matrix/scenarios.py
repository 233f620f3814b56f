"""Every scenario, in the order of the table."""

from __future__ import annotations

from tests.matrix import gateway, history, moving, pipelines, upkeep, writing
from tests.matrix.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *writing.FILES,
    *writing.NAMES,
    *history.SCENARIOS,
    *upkeep.SCENARIOS,
    *moving.SCENARIOS,
    *gateway.SCENARIOS,
    *pipelines.SCENARIOS,
)
