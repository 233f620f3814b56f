"""The policy of a form that a browser posts: what whoever signed it allows its holder to send. Pure.

A base64 JSON document with ``expiration`` and ``conditions``. A condition is ``{"field": "value"}``,
``["eq", "$field", "value"]``, ``["starts-with", "$field", "prefix"]`` or ``["content-length-range", least, most]``.
Names of fields and operators may be of any case, values may not. What AWS does not write down (order of checks, texts,
a field that is absent) is as S3 was seen to do it.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from s3api.errors import S3Error

Operator = Literal["eq", "starts-with"]
_RANGE: Final = "content-length-range"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_NUMBER = re.compile("[0-9]{1,19}")
_FREE = {"file", "policy", "signature", "awsaccesskeyid", "x-amz-signature"}
_FREE_PREFIXES = ("x-ignore-", "x-amz-checksum-")
"""No condition need name these. S3 wants one for checksums, which only make checks stricter; other servers do not."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a field; ``field`` in lower case, None when it was written without ``$`` and holds for nothing.

    ``shown`` is how errors quote it.
    """

    operator: Operator
    field: str | None
    value: str
    shown: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Say whether the form fulfils it; a field that is absent fulfils nothing, not even an empty prefix."""
        sent = fields.get(self.field) if self.field is not None else None
        if sent is None:
            return False
        if self.operator == "eq":
            return sent == self.value
        listed = sent.split(",") if self.field == "content-type" else [sent]
        return all(one.startswith(self.value) for one in listed)


@dataclass(frozen=True, slots=True)
class SizeRange:
    """How many bytes the file may have, both ends included; None: what was written are no numbers, and nothing fits."""

    least: int
    most: int | None
    shown: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that is well-formed."""

    expires_s: float
    conditions: tuple[Condition, ...]
    sizes: tuple[SizeRange, ...]

    def check(self, fields: Mapping[str, str], *, now_s: float) -> None:
        """Hold a form against it; ``fields`` by name in lower case, with the ``bucket`` that is posted to.

        Raises:
            S3Error: AccessDenied; it expired, a condition does not hold, or a field has none.
        """
        if now_s > self.expires_s:
            raise _refused("Policy expired.")
        failed = [one.shown for one in self.conditions if not one.holds(fields)]
        failed += [size.shown for size in self.sizes if size.most is None]
        if failed:
            raise _refused(f"Policy Condition failed: {failed[0]}")
        named = {one.field for one in self.conditions}
        extra = [name for name in fields if name not in named | _FREE and not name.startswith(_FREE_PREFIXES)]
        if extra:
            raise _refused(f"Extra input fields: {', '.join(sorted(extra))}")

    def size_range(self) -> tuple[int, float]:
        """Return least and most bytes of the file."""
        least = max((size.least for size in self.sizes), default=0)
        return least, min((size.most for size in self.sizes if size.most is not None), default=math.inf)


def parse_policy(encoded: str) -> Policy:
    """Parse a policy as it stands in the form.

    Raises:
        S3Error: InvalidPolicyDocument, saying what is wrong.
    """
    document = _json(encoded)
    for name in document:
        if name not in {"expiration", "conditions"}:
            raise _invalid(f"Unexpected: '{name.lower()}'")
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    if "conditions" not in document:
        raise _invalid("Policy missing conditions.")
    written = document["conditions"]
    if not isinstance(written, list):
        raise _invalid("Invalid 'conditions' value: must be a List.")
    parsed = [_condition(one) for one in written]
    return Policy(
        _expiration(document["expiration"]),
        tuple(one for one in parsed if isinstance(one, Condition)),
        tuple(one for one in parsed if isinstance(one, SizeRange)),
    )


def _json(encoded: str) -> dict[str, object]:
    try:
        plain = base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError as error:
        raise _invalid("invalid Base64 encoding.") from error
    try:
        found = json.loads(plain.decode(), parse_float=_no_number, parse_constant=_no_number)
        json.dumps(
            found, ensure_ascii=False
        ).encode()  # half a surrogate pair is no text, and errors show what there is
    except (ValueError, RecursionError) as error:
        raise _invalid("Invalid JSON.") from error
    if not isinstance(found, dict):
        raise _invalid("Invalid JSON.")
    return found


def _no_number(text: str) -> None:
    raise ValueError(text)


def _expiration(value: object) -> float:
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            whole = datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
            return whole + float(f"0{value[19:-1]}")
    except ValueError:
        pass
    raise _invalid(f"Invalid 'expiration' value: '{value}'")


def _condition(written: object) -> Condition | SizeRange:
    if isinstance(written, dict):
        return _simple(written)
    if not isinstance(written, list):
        raise _invalid("Invalid condition: must be a List or Object.")
    if not written or not isinstance(written[0], str):
        raise _invalid("Invalid Condition: missing operation identifier.")
    operator = written[0].lower()
    if operator not in {"eq", "starts-with", _RANGE}:
        raise _invalid(f"Invalid Condition: unknown operation '{written[0]}'.")
    if len(written) != 3:
        raise _invalid(f"Invalid {operator}: wrong number of arguments.")
    if operator == _RANGE:
        return _size_range(written)
    if not all(isinstance(one, str) for one in written):
        raise _invalid("Invalid JSON.")
    name = written[1].lower()
    field = name[1:] if name.startswith("$") else None
    return Condition("eq" if operator == "eq" else "starts-with", field, written[2], _shown(written))


def _simple(written: Mapping[str, object]) -> Condition:
    if len(written) != 1:
        raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    ((name, value),) = written.items()
    if not isinstance(value, str):
        raise _invalid("Invalid Simple-Condition: value must be a string.")
    return Condition("eq", name.lower(), value, _shown(["eq", f"${name}", value]))


def _size_range(written: Sequence[object]) -> SizeRange:
    """Parse a range; numbers may be strings, and a string that is no number fits no file."""
    bounds = list[int]()
    for one in written[1:]:
        if isinstance(one, bool) or not isinstance(one, int | str) or (isinstance(one, int) and one < 0):
            raise _invalid(f"Invalid {_RANGE}: the bounds must be numbers from 0.")
        if _NUMBER.fullmatch(str(one)):
            bounds.append(int(one))
    whole = len(bounds) == 2
    return SizeRange(bounds[0] if whole else 0, bounds[1] if whole else None, _shown(written))


def _shown(written: Sequence[object]) -> str:
    return json.dumps(written, ensure_ascii=False)


def _refused(why: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {why}")


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {why}")
