"""CORS rules of a bucket: reading them from XML, finding the one for a request, and the headers of its answer.

Pure functions. A pattern has at most one ``*``, for any characters; origins are compared as they are, header names in
lower case. The first rule that allows all of a request counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from pfs.structs import ready
from s3api.errors import S3Error
from s3api.http.numbers import parse_number
from s3api.http.response import Headers
from s3api.http.xml import Node, document, leaf, node, parse, text_of

METHODS: Final = ("GET", "PUT", "HEAD", "POST", "DELETE")
MAX_RULES: Final = 100
MAX_XML_BYTES: Final = 64 << 10
MAX_ID: Final = 255
MAX_REQUESTED: Final = 256
"""Header names that one request may ask for: more match no rule, for each costs a look at all that are allowed."""
_MAX_AGE = 10**10 - 1
_NAME = re.compile(r"[A-Za-z0-9_-]*")
_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
_ELEMENTS = ("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds")


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule; stored as JSON. ``max_age`` in seconds."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age: int | None = None
    id: str = ""

    def allows(self, origin: str, method: str, requested: Collection[str]) -> bool:
        """Say whether a request may come from there; ``requested`` are names of headers in lower case."""
        return (
            method in self.methods
            and any(matches(pattern, origin) for pattern in self.origins)
            and all(any(matches(pattern.lower(), name) for pattern in self.headers) for name in requested)
        )


Rules = tuple[Rule, ...]


def matches(pattern: str, text: str) -> bool:
    """Say whether a text is as a pattern says; its first ``*`` stands for any characters, none included."""
    before, star, behind = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(before) + len(behind) and text.startswith(before) and text.endswith(behind)


def parse_cors(body: bytes) -> Rules:
    """Return the rules of a ``CORSConfiguration``.

    Raises:
        S3Error: MalformedXML, InvalidRequest.
    """
    root = parse(body, "CORSConfiguration")
    if any(child.tag != "CORSRule" for child in root) or not len(root):
        raise S3Error("MalformedXML", "a CORSConfiguration has one CORSRule or more, and nothing else")
    if len(root) > MAX_RULES:
        raise S3Error(
            "InvalidRequest", f"The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules."
        )
    rules = tuple(_rule(child) for child in root)
    ids = [rule.id for rule in rules if rule.id]
    if len(set(ids)) < len(ids):
        raise _invalid("the ID of each CORS rule must be its own")
    return rules


def _rule(element: Node) -> Rule:
    if any(child.tag not in _ELEMENTS for child in element):
        raise S3Error("MalformedXML", "a CORSRule has an element that is none of it")
    rule = Rule(
        origins=_texts(element, "AllowedOrigin"),
        methods=_texts(element, "AllowedMethod"),
        headers=_texts(element, "AllowedHeader"),
        expose=_texts(element, "ExposeHeader"),
        max_age=_max_age(element),
        id=_single(element, "ID") or "",
    )
    if not rule.origins or not rule.methods:
        raise S3Error("MalformedXML", "a CORSRule has an AllowedOrigin and an AllowedMethod")
    _check(rule)
    return rule


def _texts(element: Node, name: str) -> tuple[str, ...]:
    return tuple((child.text or "").strip() for child in element.findall(name))


def _single(element: Node, name: str) -> str | None:
    if len(element.findall(name)) > 1:
        raise S3Error("MalformedXML", f"a CORSRule has one {name} at most")
    return text_of(element, name)


def _max_age(element: Node) -> int | None:
    text = _single(element, "MaxAgeSeconds")
    if text is None:
        return None
    seconds = parse_number(text.strip(), most=_MAX_AGE)
    if seconds is None:
        raise S3Error("MalformedXML", "MaxAgeSeconds must be a number")
    return seconds


def _check(rule: Rule) -> None:
    """Refuse what S3 refuses, in its words."""
    for method in rule.methods:
        if method not in METHODS:
            raise _invalid(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for name, patterns in (("AllowedOrigin", rule.origins), ("AllowedHeader", rule.headers)):
        for pattern in patterns:
            if pattern.count("*") > 1:
                raise _invalid(f'{name} "{pattern}" can not have more than one wildcard.')
    for header in rule.expose:
        if "*" in header:
            hint = "We currently do not support wildcard for ExposeHeader."
            raise _invalid(f'ExposeHeader "{header}" contains wildcard. {hint}')
        if not _NAME.fullmatch(header):
            raise _invalid(f'ExposeHeader "{header}" contains invalid character.')
    if len(rule.id) > MAX_ID:
        raise _invalid(f"the ID of a CORS rule has at most {MAX_ID} characters")


def _invalid(message: str) -> S3Error:
    return S3Error("InvalidRequest", message)


def cors_xml(rules: Rules) -> bytes:
    """Return the document that GetBucketCors answers with."""
    return document("CORSConfiguration", *(_rule_xml(rule) for rule in rules))


def _rule_xml(rule: Rule) -> str:
    return node(
        "CORSRule",
        leaf("ID", rule.id) if rule.id else "",
        *(leaf("AllowedMethod", text) for text in rule.methods),
        *(leaf("AllowedOrigin", text) for text in rule.origins),
        *(leaf("AllowedHeader", text) for text in rule.headers),
        *(leaf("ExposeHeader", text) for text in rule.expose),
        leaf("MaxAgeSeconds", rule.max_age) if rule.max_age is not None else "",
    )


def encode_rules(rules: Rules) -> str:
    """Return rules as they are stored: a JSON list (docs/design/s3.md)."""
    return msgspec.json.encode(rules).decode()


@lru_cache(maxsize=64)
def decode_rules(text: str) -> Rules:
    """Return stored rules; those that were asked for last are kept."""
    return msgspec.json.decode(text, type=ready(Rules))


def requested_headers(headers: Mapping[str, str]) -> Sequence[str]:
    """Return what Access-Control-Request-Headers names, in lower case, in order."""
    names = (name.strip().lower() for name in headers.get("access-control-request-headers", "").split(","))
    return list(dict.fromkeys(name for name in names if name))


def find_headers(rules: Rules, headers: Mapping[str, str], method: str) -> Headers | None:
    """Return the CORS headers of the answer to a request with these headers, None when no rule allows it.

    Access-Control-Request-Method takes the place of ``method``, on actual requests too, as S3 has it.
    """
    origin, requested = headers.get("origin"), requested_headers(headers)
    wanted = headers.get("access-control-request-method", method).strip()
    if origin is None or len(requested) > MAX_REQUESTED:
        return None
    rule = next((rule for rule in rules if rule.allows(origin.strip(), wanted, requested)), None)
    return None if rule is None else _headers_of(rule, origin.strip(), requested)


def _headers_of(rule: Rule, origin: str, requested: Sequence[str]) -> Headers:
    anyone = "*" in rule.origins
    found = [("access-control-allow-origin", "*" if anyone else origin)]
    if not anyone:
        found.append(("access-control-allow-credentials", "true"))
    found.append(("access-control-allow-methods", ", ".join(rule.methods)))
    if requested:
        found.append(("access-control-allow-headers", ", ".join(requested)))
    if rule.expose:
        found.append(("access-control-expose-headers", ", ".join(rule.expose)))
    if rule.max_age is not None:
        found.append(("access-control-max-age", str(rule.max_age)))
    return (*found, ("vary", _VARY))
