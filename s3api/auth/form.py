"""Who signed a form that a browser posts: the signature is that of its policy, under version 4 or 2."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pfs.keys import Key
from s3api.auth import sigv2, sigv4
from s3api.auth.caller import MAX_SKEW_S, AuthKind, Caller, KeyFinder, find_key, mismatch, refuse_token
from s3api.auth.policy import Policy, parse_policy
from s3api.errors import S3Error
from s3api.http.times import parse_amz_date

_V4 = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date")
_V2 = ("AWSAccessKeyId", "Signature")


@dataclass(frozen=True, slots=True)
class _Signed:
    """What is compared: a signature, and what it should be."""

    kind: AuthKind
    key: Key
    provided: str
    expected: str
    from_s: float = 0.0
    until_s: float = float("inf")


def check_form(fields: Mapping[str, str], find: KeyFinder, *, now_s: float) -> tuple[Caller, Policy]:
    """Return who signed a form, and its policy, which it was held against; ``fields`` by name in lower case.

    ``fields`` has the ``bucket`` that is posted to, whatever the form says of that.

    Raises:
        S3Error: AccessDenied (nobody signed it, or the policy refuses it), InvalidArgument (fields are missing or
            wrong), InvalidAccessKeyId, SignatureDoesNotMatch, InvalidToken, InvalidPolicyDocument, NotImplemented.
    """
    signed = _signed(fields, find)
    policy = fields["policy"]
    if not hmac.compare_digest(signed.expected.encode(), signed.provided.encode()):
        raise mismatch(signed.key.access_key, signed.provided, policy)
    refuse_token(fields.get("x-amz-security-token"))
    parsed = parse_policy(policy)
    parsed.check(fields, now_s=now_s)
    if now_s < signed.from_s:
        raise S3Error("AccessDenied", "Invalid according to Policy: the signature is not valid yet")
    if now_s > signed.until_s:
        raise S3Error("AccessDenied", "Invalid according to Policy: the signature is older than a week")
    return Caller(signed.key, kind=signed.kind), parsed


def _signed(fields: Mapping[str, str], find: KeyFinder) -> _Signed:
    if any(name.lower() in fields for name in _V4):
        _require(fields, (*_V4, "Policy"))
        return _version_4(fields, find)
    if any(name.lower() in fields for name in _V2):
        _require(fields, (*_V2, "Policy"))
        return _version_2(fields, find)
    raise S3Error("AccessDenied", "this needs a form with a policy that is signed")


def _version_4(fields: Mapping[str, str], find: KeyFinder) -> _Signed:
    sigv4.check_algorithm(fields["x-amz-algorithm"], "InvalidArgument")
    credential = sigv4.parse_credential(fields["x-amz-credential"], "InvalidArgument")
    made_s = parse_amz_date(fields["x-amz-date"])
    if made_s is None:
        argument = {"ArgumentName": "X-Amz-Date", "ArgumentValue": fields["x-amz-date"]}
        raise S3Error("InvalidArgument", "X-Amz-Date must be a time such as 20261122T080000Z", fields=argument)
    key, secret = find_key(find, credential.access_key)
    secret_key = sigv4.signing_key(secret, credential.date, credential.region, credential.service)
    expected = sigv4.sign_text(secret_key, fields["policy"])
    window = made_s - MAX_SKEW_S, made_s + sigv4.MAX_EXPIRES_S
    return _Signed("v4-form", key, fields["x-amz-signature"], expected, *window)


def _version_2(fields: Mapping[str, str], find: KeyFinder) -> _Signed:
    key, secret = find_key(find, fields["awsaccesskeyid"])
    return _Signed("v2-form", key, fields["signature"], sigv2.sign_text(secret, fields["policy"]))


def _require(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if name.lower() not in fields:
            raise missing_field(name)


def missing_field(name: str) -> S3Error:
    """Return the answer to a form without a field that it needs; what comes behind the file does not count."""
    message = (
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    )
    return S3Error("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": ""})
