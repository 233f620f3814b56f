"""Pipeline specs: their types, and the reader of spec files."""

from __future__ import annotations

from pps.spec.parse import parse_specs
from pps.spec.types import (
    CrossInput,
    DatumSet,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    Reprocess,
    SecretUse,
    Service,
    Spec,
    Transform,
    UnionInput,
)

__all__ = [
    "CrossInput",
    "DatumSet",
    "GroupInput",
    "Input",
    "JoinInput",
    "PfsInput",
    "Reprocess",
    "SecretUse",
    "Service",
    "Spec",
    "Transform",
    "UnionInput",
    "parse_specs",
]
