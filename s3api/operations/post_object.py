"""PostObject: a form that a browser posts to a bucket; its policy says who allowed that, and what may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import quote, urlencode, urlsplit

from s3api.auth.access import Permission
from s3api.auth.form import check_form, missing_field
from s3api.bodies.checksums import parse_algorithm, sent_checksums
from s3api.bodies.form import FormDecoder, form_boundary
from s3api.bodies.receive import receive
from s3api.bodies.room import SMALL_BYTES
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.headers import check_headers
from s3api.http.request import Request
from s3api.http.response import Headers, Response
from s3api.http.xml import leaf, node
from s3api.objects.conditions import write_check
from s3api.objects.metadata import KEPT, aux_from_headers, checksum_headers, with_checksums
from s3api.objects.names import parse_bucket, parse_key
from s3api.objects.tags import OBJECT, parse_tagging, with_tags
from s3api.objects.writing import put_row
from s3api.operation import Operation

_HEADERS = {"content-type", "content-md5", *KEPT}
_CONDITIONS = {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
_OF_THE_FORM = {"host", "content-length", "transfer-encoding", *_CONDITIONS}
"""Headers of the form itself that count; conditions can only make the write stricter."""
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class PostObject(Operation):
    """Write an object from a form; the file streams into the store once the fields before it were checked."""

    permission: ClassVar[Permission | None] = None
    boundary: bytes

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Find the form's boundary."""
        return cls(form_boundary(request.header("content-type") or ""))

    async def handle(self, context: Context) -> Response:
        """Check who signed the form, store the file, then commit it."""
        form = await self._begin(context)
        fields = {**form.fields, "bucket": context.request.bucket}
        signed, key = await context.gateway.run(_check, context, fields, form)
        context.note.caller, context.note.key = signed.caller, key
        bucket = await context.gateway.run(signed.bucket, write=True)
        aux = _aux(signed.request.headers, fields)
        received = await receive(signed)
        aux = with_checksums({**aux, "e": received.md5}, received.checksums)
        check = write_check(signed.request.headers)
        headers = await put_row(signed, bucket, key, received.ref, aux=aux, check=check, session=received.session)
        return _answer(signed.request, fields, received.md5, (*headers, *checksum_headers(aux)))

    async def _begin(self, context: Context) -> FormDecoder:
        """Receive what comes before the file; the body goes on with the file."""
        form, begun = FormDecoder(self.boundary), False
        while not begun and not context.body.ended:
            piece = await context.body.receive_piece(SMALL_BYTES)
            begun = await context.gateway.run(form.read_fields, bytes(piece))
        if not begun:
            form.finish()
        context.body.decode_with(form)
        return form


def _check(context: Context, fields: Mapping[str, str], form: FormDecoder) -> tuple[Context, bytes]:
    """Return the context of the write, with the fields as headers and who signed as caller, and the key."""
    key = _key(fields)
    caller, policy = check_form(fields, context.gateway.keys.find, now_s=context.gateway.clock_s())
    request = replace(context.request, headers=_headers(context.request, fields), key=key)
    signed = replace(context, request=request, caller=caller)
    signed.authorize(Permission.WRITE, parse_bucket(request.bucket))
    check_headers(request)
    form.limit(*policy.size_range())
    return signed, key


def _key(fields: Mapping[str, str]) -> bytes:
    if "key" not in fields:
        raise missing_field("key")
    if not fields["key"]:
        argument = {"ArgumentName": "key", "ArgumentValue": ""}
        raise S3Error("InvalidArgument", "User key must have a length greater than 0.", fields=argument)
    return parse_key(fields["key"].encode())


def _headers(request: Request, fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers that a PUT would have had, and those of the form that say where it came to, and how."""
    found = {
        name: value for name, value in fields.items() if name in {*_HEADERS, *_CONDITIONS} or name.startswith("x-amz-")
    }
    if "acl" in fields:
        found["x-amz-acl"] = fields["acl"]
    return {**found, **{name: value for name, value in request.headers.items() if name in _OF_THE_FORM}}


def _aux(headers: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, object]:
    named = headers.get("x-amz-checksum-algorithm")
    if named and parse_algorithm(named) not in sent_checksums(headers):
        raise S3Error("InvalidRequest", "x-amz-checksum-algorithm names a checksum that is not among the fields")
    aux = aux_from_headers(headers)
    return with_tags(aux, parse_tagging(fields["tagging"].encode(), OBJECT)) if "tagging" in fields else aux


def _answer(request: Request, fields: Mapping[str, str], md5: str, headers: Headers) -> Response:
    """Return what the form asks for: a redirect, or one of three statuses."""
    etag, location = f'"{md5}"', _location(request)
    target = _redirect(fields.get("success_action_redirect") or fields.get("redirect") or "")
    if target is not None:
        said = urlencode({"bucket": request.bucket, "key": request.key, "etag": etag})
        place = f"{target}{'&' if urlsplit(target).query else '?'}{said}"
        return Response(303, (("location", place), ("etag", etag), *headers))
    headers = (("etag", etag), ("location", location), *headers)
    status = fields.get("success_action_status", "").strip()
    if status != "201":
        return Response(200 if status == "200" else 204, headers)
    body = node(
        "PostResponse",
        leaf("Location", location),
        leaf("Bucket", request.bucket),
        leaf("Key", request.key.decode()),
        leaf("ETag", etag),
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Response(201, (("content-type", "application/xml"), *headers), (head + body).encode())


def _redirect(text: str) -> str | None:
    """Return an address that a browser can be sent to, None for anything else, which S3 passes over."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return None
    return quote(text.partition("#")[0], safe=_PRINTABLE)


def _location(request: Request) -> str:
    """Return the address of the object; S3 encodes the slashes of its key."""
    bucket = "" if request.virtual_host else f"/{request.bucket}"
    return f"{request.scheme}://{request.headers.get('host', '')}{bucket}/{quote(request.key, safe='')}"
