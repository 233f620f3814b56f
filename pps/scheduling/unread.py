"""Where pipelines stand on the branches that they read, for retention: what comes after that is still due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.lifecycle.unread import Unread
from pps.model.catalog import Catalog
from pps.scheduling.queue import standing

if TYPE_CHECKING:
    from pfs.store import Store


def unread(store: Store) -> list[Unread]:
    """Return the positions of all pipelines that can be read; one that a running job has not left yet counts.

    Costs a record or two for each pipeline. Raises StorageError.
    """
    found = ((pipeline.name, standing(pipeline)) for pipeline in Catalog(store).all())
    return [Unread(name, repo, branch, since) for name, place in found for (repo, branch), since in place.items()]
