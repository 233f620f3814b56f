"""The field ``keep``: how long the artifacts of an output, or of a workflow, stay."""

from __future__ import annotations

import re
from typing import Final

from pps.spec.fields import Fields
from pps.workflows.types import Keep

_CLASS: Final = re.compile(r"[A-Z0-9_-]+")


def read_keep(fields: Fields) -> Keep:
    """Return what a mapping says of how long artifacts stay; what is wrong with it goes to its findings."""
    keep = fields.child("keep")
    if keep is None:
        return Keep()
    moved = keep.child("storage_class_after")
    days, name = (0, "") if moved is None else (moved.count("days"), moved.text("class"))
    if moved is not None and not days:
        moved.bad("days", "storage_class_after needs 'days': after how many it is moved")
    if moved is not None and not _CLASS.fullmatch(name):
        moved.bad("class", "storage_class_after needs a 'class', written in capitals, such as GLACIER_IR")
    match keep.text("delivered"):
        case "" | "keep" | "delete" as delivered:
            return Keep(keep.count("runs"), keep.count("days"), days, name, delivered)
        case other:
            keep.bad("delivered", f"the field 'delivered' of keep is keep or delete, not {other!r}")
            return Keep()
