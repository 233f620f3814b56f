"""What reading a spec brings to light: all that is wrong with it, and what has no effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pfs.errors import InvalidInputError
from pps.spec.node import Place


@dataclass(slots=True)
class Findings:
    """Collects while one document is read; ``notes`` has a line for each field without effect.

    ``is_stored``: it was taken once, perhaps before all was looked at that is now: what may be in it is let pass.
    """

    notes: list[str] = field(default_factory=list)
    is_stored: bool = False
    _errors: list[tuple[Place, InvalidInputError]] = field(default_factory=list)

    def add(self, place: Place, error: InvalidInputError) -> None:
        """Take an error; ``place`` is only for its turn among others."""
        self._errors.append((place, error))

    @property
    def errors(self) -> list[InvalidInputError]:
        """All that is wrong, in the order of the text; each message begins with its place."""
        return [error for _, error in sorted(self._errors, key=lambda item: item[0][1:])]


def first_of(errors: Sequence[InvalidInputError], *, shown_by: str = "pps validate") -> InvalidInputError:
    """Return the error that stands for all of them: the first, which says how many more ``shown_by`` shows."""
    first, more = errors[0], len(errors) - 1
    if not more:
        return first
    return InvalidInputError(f"{first} (and {more} more error{'' if more == 1 else 's'}: `{shown_by}` shows all)")
