"""Whether a file is a workflow file, by a look: such a file is no code of the workflows beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pfs.errors import InvalidInputError
from pps.spec.parse import parse_nodes
from pps.workflows.known import WORKFLOW

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_MOST_BYTES: Final = 1 << 20
_TASKS: Final = re.compile(r"""\btasks["']?\s*:""")
"""Almost every other file is told apart by this alone, without being parsed."""


def is_workflow_file(path: Path) -> bool:
    """Say whether a file is a mapping with the fields of workflows alone, and a list of tasks that have names.

    What cannot be read or parsed, or is over 1 MiB, is none.
    """
    try:
        if path.suffix not in _SUFFIXES or path.stat().st_size > _MOST_BYTES:
            return False
        text = path.read_text()
        documents = parse_nodes(text, path.name) if _TASKS.search(text) else []
    except (OSError, UnicodeDecodeError, InvalidInputError):
        return False
    top = documents[0].value if len(documents) == 1 else None
    if not isinstance(top, dict) or "tasks" not in top or not top.keys() <= WORKFLOW.read.keys():
        return False
    tasks = top["tasks"].value
    if not isinstance(tasks, list) or not tasks:
        return False
    return all(isinstance(one.value, dict) and "name" in one.value for one in tasks)
