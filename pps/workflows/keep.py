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
        why = "must be 1 or more" if moved.get("days") is not None else "is missing"
        moved.bad("days", f"the field 'days' of storage_class_after {why}: after how many it is moved")
    for name_of_count in ("runs", "days"):
        if keep.get(name_of_count) is not None and not keep.is_bad(name_of_count) and not keep.count(name_of_count):
            keep.refused(name_of_count, f"'{name_of_count}: 0' says nothing of how long artifacts stay: 1 or more does")
    if moved is not None and not _CLASS.fullmatch(name):
        moved.bad("class", "storage_class_after needs a 'class', written in capitals, such as GLACIER_IR")
    match keep.text("delivered"):
        case "" | "keep" | "delete" as delivered:
            return Keep(keep.count("runs"), keep.count("days"), days, name, delivered)
        case other:
            keep.bad("delivered", f"the field 'delivered' of keep is keep or delete, not {other!r}")
            return Keep()
