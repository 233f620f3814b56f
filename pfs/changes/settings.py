"""Settings of a branch: texts that front ends keep with it, by name. What they mean is the front end's business.

They go where the branch goes: to the trash and back with it, and away with it. Changing them makes no commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.changes.refusal import refuse_tag
from pfs.errors import BranchNotFoundError, InvalidInputError
from pfs.refs.body import BranchEntry, RefsBody, check_user_branch, with_branch
from pfs.texts import check_text

if TYPE_CHECKING:
    from pfs.store import Store

MAX_SETTING_BYTES: Final = 96 << 10
"""Of one text in UTF-8: it is part of the one object that every commit of the repo replaces."""


@dataclass(frozen=True, slots=True)
class SettingsEdit:
    """What to change: the texts to ``set`` by name, None to take one away.

    ``guard`` raises when the repo, at the moment of the change, is not the one that is meant; ``make``: a branch that
    is not there is made.
    """

    set: Mapping[str, str | None]
    guard: Callable[[RefsBody], None] = lambda body: None
    make: bool = False

    def of(self, old: Mapping[str, str]) -> dict[str, str]:
        """Return the settings after the change; raises InvalidInputError: one is too long or no UTF-8."""
        for name, text in self.set.items():
            if text is not None and len(check_text(text).encode()) > MAX_SETTING_BYTES:
                raise InvalidInputError(f"setting {name!r} of the branch has over {MAX_SETTING_BYTES} bytes")
        new: dict[str, str | None] = {**old, **self.set}
        return {name: text for name, text in sorted(new.items()) if text is not None}


def edit_settings(store: Store, repo: str, branch: str, edit: SettingsEdit) -> Mapping[str, str]:
    """Change the settings of a branch and return them; nothing is written when they are so already.

    Raises:
        BranchNotFoundError: there is none, and none is to be made.
        ConflictError: a tag has the name; other writers were first too often.
        InvalidInputError: a text is too long, or is not valid UTF-8.
    """
    check_user_branch(branch)
    now_ns = store.clock_ns()

    def changed(body: RefsBody) -> RefsBody:
        edit.guard(body)
        refuse_tag(repo, body, branch)
        entry = body.branches.get(branch)
        if entry is None and not edit.make:
            raise BranchNotFoundError(repo, branch)
        there = entry or BranchEntry(created=now_ns)
        new = edit.of(there.settings)
        if entry is not None and new == entry.settings:
            return body
        return with_branch(body, branch, replace(there, settings=new))

    return store.refs.update(repo, changed).branches[branch].settings


def settings_of(body: RefsBody, branch: str) -> Mapping[str, str]:
    """Return the settings of a branch; none without the branch."""
    entry = body.branches.get(branch)
    return {} if entry is None else entry.settings
