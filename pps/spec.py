"""Pipeline specs: their types, and the reader of spec files."""

from __future__ import annotations

from pps.spec_parse import parse_specs
from pps.spec_types import CrossInput, DatumSet, Input, PfsInput, Reprocess, Spec, Transform

__all__ = ["CrossInput", "DatumSet", "Input", "PfsInput", "Reprocess", "Spec", "Transform", "parse_specs"]
