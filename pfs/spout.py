"""Which spout a process is of: a command that runs on and commits what it receives (pfs/changes/spouts.py)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from pfs.ids import CommitId, is_commit_id

CODE_BRANCH: Final = ".spec"
"""The hidden branch with the code of a repo's pipeline."""
REPO_VARIABLE: Final = "PPS_PIPELINE_NAME"
CODE_VARIABLE: Final = "PPS_SPEC_COMMIT"


class Spout(Struct, frozen=True):
    """A spout: the repo that it writes to, and the commit of its code."""

    repo: str
    code: CommitId

    @classmethod
    def here(cls, env: Mapping[str, str] = os.environ) -> Spout | None:
        """Return the spout that this process is of, if it has the variables of a pipeline's command."""
        repo, code = env.get(REPO_VARIABLE, ""), env.get(CODE_VARIABLE, "")
        return cls(repo, CommitId(code)) if repo and is_commit_id(code) else None
