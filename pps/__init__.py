"""pps: the pipeline service: specs, datums, jobs, workers; see docs/architecture.md.

The face is here; each name is imported when it is first asked for, so that ``import pps`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pps.controller import Controller, local_executors
    from pps.model.events import RunEvent, RunReport
    from pps.model.infos import DatumInfo, JobInfo, LogLine, PipelineInfo
    from pps.pipelines.pipelines import Pipelines
    from pps.spec import Spec, parse_specs

__all__ = [
    "Pipelines",
    "Controller",
    "local_executors",
    "parse_specs",
    "Spec",
    "PipelineInfo",
    "JobInfo",
    "DatumInfo",
    "LogLine",
    "RunEvent",
    "RunReport",
]

_HOMES = {
    "pps.pipelines.pipelines": ("Pipelines",),
    "pps.controller": ("Controller", "local_executors"),
    "pps.spec": ("parse_specs", "Spec"),
    "pps.model.infos": ("PipelineInfo", "JobInfo", "DatumInfo", "LogLine"),
    "pps.model.events": ("RunEvent", "RunReport"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'pps' has no attribute {name!r}")
