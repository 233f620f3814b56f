"""Access control lists, as far as they can be told here: who may do what is said by keys and their roles.

An ACL is a fixed answer: the one owner has everything, and everyone may read where anonymous reads are allowed. What
says the same, or only who reads (the canned ``public-read``), may be put, and changes nothing.
"""

from __future__ import annotations

from typing import Final

from s3api.bodies.checksums import Digests
from s3api.errors import S3Error, not_implemented
from s3api.gateway import Context
from s3api.http.headers import OWNER
from s3api.http.xml import Node, document, leaf, node, parse, text_of
from s3api.objects.names import parse_bucket

MAX_XML_BYTES: Final = 64 << 10
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_FULL, _READ = "FULL_CONTROL", "READ"


def acl_xml(context: Context) -> bytes:
    """Return the ACL of a bucket and of all that is in it."""
    owner = leaf("ID", OWNER) + leaf("DisplayName", OWNER)
    grants = [_grant("CanonicalUser", owner, _FULL)]
    if parse_bucket(context.request.bucket).repo in context.gateway.anonymous_read:
        grants.append(_grant("Group", leaf("URI", ALL_USERS), _READ))
    return document("AccessControlPolicy", node("Owner", owner), node("AccessControlList", *grants))


def _grant(kind: str, grantee: str, permission: str) -> str:
    element = f'<Grantee xmlns:xsi="{_XSI}" xsi:type="{kind}">{grantee}</Grantee>'
    return node("Grant", element, leaf("Permission", permission))


async def take_acl(context: Context, name: str) -> None:
    """Take an ACL that is to be put, canned or in the body, if it changes nothing; ``name`` is the operation's.

    Raises:
        S3Error: NotImplemented, it grants what keys and roles do not; MalformedACLError, UnexpectedContent;
            MissingSecurityHeader, there is none.
    """
    digests = Digests(context.request.headers, payload=context.caller.payload)
    body = await context.body.read(digests, limit=MAX_XML_BYTES)
    canned = context.request.header("x-amz-acl")
    if canned is not None and body.strip():
        raise S3Error("UnexpectedContent")
    if canned is None and not body.strip():
        raise S3Error("MissingSecurityHeader", "an ACL is missing: the header x-amz-acl, or a body")
    if canned is None:
        _check_grants(body, name)


def _check_grants(body: bytes, name: str) -> None:
    try:
        grants = parse(body, "AccessControlPolicy").find("AccessControlList")
    except S3Error as error:
        raise S3Error("MalformedACLError") from error
    if grants is None:
        raise S3Error("MalformedACLError")
    for grant in grants:
        if _granted(grant) not in {(OWNER, _FULL), (ALL_USERS, _READ)}:
            raise not_implemented(f"{name} with grants to others than the owner and AllUsers")


def _granted(grant: Node) -> tuple[str | None, str | None]:
    grantee = grant.find("Grantee")
    if grant.tag != "Grant" or grantee is None:
        raise S3Error("MalformedACLError")
    return text_of(grantee, "URI") or text_of(grantee, "ID"), text_of(grant, "Permission")
