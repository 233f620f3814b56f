"""The variables that say to a command whose it is: the same for datums, services and spouts."""

from __future__ import annotations

from pfs.ids import CommitId


def pipeline_variables(pipeline: str, spec_commit: CommitId) -> dict[str, str]:
    """Return Pachyderm's variables of a pipeline's version; there is one project, called as its default one."""
    return {
        "PPS_PIPELINE_NAME": pipeline,
        "PPS_PROJECT_NAME": "default",
        "PPS_SPEC_COMMIT": spec_commit,
        "PACH_IN_WORKER": "true",
    }
