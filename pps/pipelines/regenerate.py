"""Pipelines under other defaults: which of them would have another spec, and the versions that give it to them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import NotFoundError, PfsError
from pps.model.catalog import Catalog, Pipeline
from pps.model.records import EFFECTIVE_JSON, GIVEN_JSON
from pps.pipelines.defaults import Defaults
from pps.pipelines.versions import Draft, redraft
from pps.spec.parse import parse_specs

if TYPE_CHECKING:
    from pfs.store import Store


def documents(store: Store, pipeline: Pipeline) -> tuple[str, str]:
    """Return the spec of a pipeline as it was given, and the same laid over defaults, both as JSON text.

    Either may be empty: of versions that were made before it was kept.
    """
    view = store.repo(pipeline.name).view(pipeline.spec_commit)
    given = view.read(GIVEN_JSON).decode()
    try:
        return given, view.read(EFFECTIVE_JSON).decode()
    except NotFoundError:
        return given, ""


def regenerated(store: Store, defaults: Defaults, *, strict: bool) -> list[tuple[Draft, Pipeline]]:
    """Return the pipelines whose effective spec is another under ``defaults``, upstream ones first, with that spec.

    ``strict``: one that cannot have it is an error, which names it; else it is left out. Damaged ones are left out.
    """
    found = []
    for pipeline in Catalog(store).all():
        with suppress(*(() if strict else (PfsError,))):
            draft = _draft(store, pipeline, defaults)
            if draft is not None:
                found.append((draft, pipeline))
    return found


def _draft(store: Store, pipeline: Pipeline, defaults: Defaults) -> Draft | None:
    given, before = documents(store, pipeline)
    (spec,) = parse_specs(given, name=f"spec of {pipeline.name}", base=defaults.base())
    same = not before or json.loads(spec.effective) == json.loads(before)
    if same and spec == pipeline.spec:
        return None
    return redraft(store, spec, pipeline)
