"""The parts that an object was uploaded in: sizes and checksums, kept with its row so that they can be read and listed.

In the aux as ``p``: ``s`` the sizes, as pairs of a size and how often it follows; ``a`` and ``c`` the algorithm and the
checksums, one behind the other. Each commit that touches a page writes all its rows anew, so checksums of more than
8 KiB are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, groupby, repeat
from typing import Final

from pfs.trees.row import Row
from s3api.errors import S3Error, invalid_argument
from s3api.http.numbers import parse_number
from s3api.http.ranges import Span
from s3api.http.request import Request
from s3api.multipart.uploads import MAX_PARTS

AUX: Final = "p"
MAX_CHECKSUM_BYTES: Final = 8 << 10
"""Of all parts: 2,048 parts with CRC32, 1,024 with CRC64NVME, 256 with SHA256."""


@dataclass(frozen=True)
class Layout:
    """The parts of an object, numbered from 1 without gaps, whatever their numbers were in the upload."""

    sizes: Sequence[int]
    algorithm: str = ""
    checksums: Sequence[str] = ()
    """In base64, one a part, or none at all."""

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self.sizes))

    def span(self, number: int) -> Span:
        """Return the bytes of a part."""
        return Span(self._ends[number - 1] - self.sizes[number - 1], self._ends[number - 1])

    def checksum(self, number: int) -> dict[str, str]:
        """Return the checksum of a part by its algorithm; empty if none is kept."""
        return {self.algorithm: self.checksums[number - 1]} if self.checksums else {}

    def to_aux(self) -> dict[str, object]:
        """Return the value of ``p``."""
        runs = [(size, len(list(same))) for size, same in groupby(self.sizes)]
        aux: dict[str, object] = {"s": list(chain.from_iterable(runs))}
        joined = b"".join(map(base64.b64decode, self.checksums))
        if joined and len(joined) <= MAX_CHECKSUM_BYTES:
            aux |= {"a": self.algorithm, "c": joined}
        return aux


def layout_of(aux: Mapping[str, object] | None) -> Layout | None:
    """Return the parts of an object; None if it was not uploaded in parts."""
    kept = (aux or {}).get(AUX)
    if not isinstance(kept, Mapping) or not isinstance(kept.get("s"), list):
        return None
    pairs = kept["s"]
    sizes = list(chain.from_iterable(map(repeat, pairs[::2], pairs[1::2])))
    algorithm, joined = kept.get("a"), kept.get("c")
    if not isinstance(algorithm, str) or not isinstance(joined, bytes) or len(joined) % len(sizes):
        return Layout(sizes)
    each = len(joined) // len(sizes)
    found = (joined[at : at + each] for at in range(0, len(joined), each))
    return Layout(sizes, algorithm, [base64.b64encode(one).decode() for one in found])


def parse_wanted_part(request: Request) -> int | None:
    """Return the part that a read asks for by its number, None without one.

    Raises:
        S3Error: InvalidArgument, InvalidRequest; no number from 1 to 10000, or a range beside it.
    """
    text = request.params.get("partNumber")
    if text is None:
        return None
    number = parse_number(text, most=MAX_PARTS)
    if not number:
        raise invalid_argument(
            "partNumber", text, f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        )
    if request.header("range") is not None:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return number


def span_of_part(row: Row, number: int) -> Span | None:
    """Return the bytes of a part; the whole is part 1 of an object that has no parts. None: an object without bytes.

    Raises:
        S3Error: InvalidPartNumber; there is no such part.
    """
    layout = layout_of(row.aux)
    count = 1 if layout is None else len(layout.sizes)
    if number > count:
        fields = {"ActualPartCount": str(count), "PartNumberRequested": str(number)}
        raise S3Error("InvalidPartNumber", fields=fields)
    if not row.size:
        return None
    return Span(0, row.size) if layout is None else layout.span(number)
