"""The machine: a store in two processes and a model in dictionaries, driven side by side by hypothesis."""

from __future__ import annotations

from tests.pfs.machine.rules_files import FileRules
from tests.pfs.machine.rules_history import HistoryRules
from tests.pfs.machine.rules_names import NameRules


class StoreMachine(FileRules, NameRules, HistoryRules):
    """All rules."""
