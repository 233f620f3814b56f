"""``resource_requests`` and ``resource_limits`` of a spec: quantities as Kubernetes writes them."""

from __future__ import annotations

import math
import re
from typing import Final

from pps.spec.fields import Fields
from pps.spec.types import Resources

_QUANTITY: Final = re.compile(r"\+?((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(m|[kKMGTPE]i?)?B?")
_POWERS: Final = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_MOST: Final = 2**63 - 1


def quantity(text: str) -> float | None:
    """Return the number of ``0.5``, ``500m``, ``64M`` (millions), ``1Gi`` (2**30) or ``1e9``; None if it is none."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number, unit = float(match[1]), match[2] or ""
    if unit == "m":
        return number / 1000
    base = 1024 if unit.endswith("i") else 1000
    return number * float(base ** _POWERS.get(unit[:1], 0))


def read_resources(fields: Fields, name: str) -> Resources:
    """Return the resources in the field ``name``; none where it is absent."""
    given = fields.child(name)
    if given is None:
        return Resources()
    gpu = given.child("gpu")
    return Resources(
        cpu=_number(given, "cpu"),
        memory=math.ceil(_number(given, "memory")),
        disk=math.ceil(_number(given, "disk")),
        gpus=0 if gpu is None else gpu.count("number"),
        gpu_type="" if gpu is None else gpu.text("type"),
    )


def _number(given: Fields, name: str) -> float:
    text = given.text(name)
    found = quantity(text) if text else 0.0
    if found is None or not found <= _MOST:
        example = "0.5 or 500m" if name == "cpu" else "64M, 1Gi or a number of bytes"
        given.bad(name, f"the field {name!r} of {given.known.where} must be like {example}, not {text!r}")
        return 0.0
    return found


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``64 MiB``, ``1.5 GiB``."""
    unit, value = 0, float(size)
    while value >= 1024 and unit < 6:
        unit, value = unit + 1, value / 1024
    return f"{value:.4g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"
