"""The type of a column of texts: the narrowest that holds every one of them and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

_DOUBLE_EXACT_DIGITS: Final = 15
"""Integers of so many digits are exact as doubles."""
_DOUBLE_LONGEST: Final = 24
"""No double needs a longer text; what is longer has digits that it would lose."""
_ODD_NUMBER: Final = r"^[+]|^-?0[0-9xX]"
"""Numbers to a parser, but ids to people: 007, 0x10, +5."""
_LONG_INTEGER: Final = r"^-?[0-9]{16,}$"
_INFINITY: Final = r"(?i)^[+-]?inf(inity)?$"
_TRUTH: Final = r"(?i)^(true|false)$"


class Guess:
    """What is known of a column after the texts seen so far; the order in which they come does not matter."""

    def __init__(self) -> None:
        import pyarrow as pa

        self.type: pa.DataType = pa.null()
        # Something was seen that the next wider type would not hold exactly: only text can follow.
        self._alone = False

    def see(self, texts: pa.Array) -> None:
        """Widen the type until it holds ``texts`` too; nulls fit all types."""
        import pyarrow as pa

        if texts.null_count == len(texts) or pa.types.is_string(self.type):
            return
        present = texts.drop_null()
        wider = (one for one in _candidates(self.type) if self._fits(present, one))
        self.type = next(wider, pa.string())

    def _fits(self, texts: pa.Array, wanted: pa.DataType) -> bool:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_boolean(wanted):
            return _all(texts, _TRUTH)
        try:
            values = convert(texts, wanted)
        except pa.ArrowInvalid:
            return False
        if pa.types.is_date(wanted):
            self._alone |= not _converts(texts, pa.timestamp("ns"))
            return True
        if pa.types.is_timestamp(wanted):
            return not self._alone
        if _any(texts, _ODD_NUMBER):
            return False
        longest = pc.max(pc.utf8_length(texts)).as_py()
        if pa.types.is_integer(wanted):
            self._alone |= longest > _DOUBLE_EXACT_DIGITS
            return True
        return not self._alone and longest <= _DOUBLE_LONGEST and not _loses(texts, values)


def _candidates(seen: pa.DataType) -> list[pa.DataType]:
    """Return the types to try, narrowest first."""
    import pyarrow as pa

    instant, zoned = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
    if pa.types.is_null(seen):
        return [pa.int64(), pa.float64(), pa.bool_(), pa.date32(), instant, zoned]
    if pa.types.is_int64(seen):
        return [seen, pa.float64()]
    return [seen, instant] if pa.types.is_date(seen) else [seen]


def convert(texts: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return texts as values of a guessed type; raises ArrowInvalid where one does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.nulls(len(texts), wanted) if pa.types.is_null(wanted) else pc.cast(texts, wanted)


def _converts(texts: pa.Array, wanted: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        convert(texts, wanted)
    except pa.ArrowInvalid:
        return False
    return True


def _loses(texts: pa.Array, values: pa.Array) -> bool:
    import pyarrow.compute as pc

    infinite = texts.filter(pc.is_inf(values))
    return _any(texts, _LONG_INTEGER) or not _all(infinite, _INFINITY)


def _any(texts: pa.Array, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _all(texts: pa.Array, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())
