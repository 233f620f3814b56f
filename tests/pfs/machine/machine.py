"""The machine: a store in two processes and a model in dictionaries, driven side by side by hypothesis."""

from __future__ import annotations

from collections.abc import Iterable

from tests.pfs.machine.rules_files import FileRules
from tests.pfs.machine.rules_history import HistoryRules
from tests.pfs.machine.rules_names import NameRules


class StoreMachine(FileRules, NameRules, HistoryRules):
    """All rules."""


RULES = sorted({one.function.__name__ for one in StoreMachine.setup_state().rules})
SUPPORT = {"put_files", "start_commit", "create_branch", "begin_writer", "bind", "delete_repo", "put_secret"}
"""Rules that give others something to work on."""


def focused(rules: Iterable[str]) -> type[StoreMachine]:
    """Return the machine with these rules alone, and those that they need."""
    others = set(RULES) - set(rules) - SUPPORT
    return type("FocusedMachine", (StoreMachine,), dict.fromkeys(others))
