"""The ASGI application: one request in, one answer out. Errors become XML here, and only here.

Raw ASGI, without a framework: bodies stream both ways through `Body` and `Response`, and the router is a table.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from pfs.errors import PfsError
from s3api.audit.note import Note
from s3api.audit.redact import redact
from s3api.auth.caller import Caller, authenticate
from s3api.auth.carried import with_carried_headers
from s3api.bodies.body import Body, ClientGoneError
from s3api.bodies.passover import pass_over
from s3api.bodies.sources import Receive, source_of
from s3api.errors import NotModifiedError, S3Error, from_pfs
from s3api.gateway import Context, Gateway
from s3api.http.headers import check_headers
from s3api.http.outlet import Outlet, outlet_of
from s3api.http.request import Request, parse_request
from s3api.http.response import Response, Stream, error_response
from s3api.http.times import SECOND_NS, http_date
from s3api.objects.reading import Patience
from s3api.objects.settings import cors_headers
from s3api.operation import BlockingOperation, Operation
from s3api.router import PREFLIGHT, route

log = logging.getLogger("s3api")

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
"""What no header may hold; metadata that came through the file API may."""

Scope = MutableMapping[str, object]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def create_app(gateway: Gateway) -> App:
    """Return the application that serves a gateway; it may run in several event loops, one after the other."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(gateway, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class _Exchange:
    """One request and its answer."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self._gateway, self._scope, self._receive, self._send = gateway, scope, receive, send
        self._id = secrets.token_hex(8).upper()
        self._note = Note()
        self._body: Body | None = None
        self._headers = cast("list[tuple[bytes, bytes]]", scope["headers"])  # the ASGI specification says so

    async def run(self) -> None:
        """Answer, and leave a line in the audit log of whatever became of it."""
        audit = self._gateway.audit
        if audit is None:
            return await self._run()
        await audit.room()
        self._send = self._note.sending(self._send)
        start_ns, begun_ns = time.time_ns(), time.monotonic_ns()
        try:
            await self._run()
        finally:
            took_ns = time.monotonic_ns() - begun_ns
            self._note.bytes_in = self._body.received if self._body is not None else 0
            audit.put(self._note.record(self._scope, self._id, start_ns=start_ns, took_ns=took_ns))

    async def _run(self) -> None:
        try:
            response = await self._answer()
            if response.status >= 400 and (self._body is None or not self._body.started):
                await pass_over(source_of(self._scope, self._receive), self._headers)
            await self._respond(await self._with_cors(response))
        except ClientGoneError:
            return
        except asyncio.CancelledError:  # only the end of the server does that, when the connection was cut before
            log.warning("%s: given up at the end of the server, request %s", self._place, self._id)
        finally:
            if self._body is not None:
                self._body.release()

    async def _answer(self) -> Response:
        try:
            return await self._handle()
        except S3Error as error:
            return self._error(error)
        except NotModifiedError as error:
            return Response(304, error.headers)
        except PfsError as error:
            return self._error(self._told(error))
        except ClientGoneError:
            raise
        except Exception:
            log.exception("%s: unexpected error, request %s", self._place, self._id)
            return self._error(S3Error("InternalError"))

    async def _handle(self) -> Response:
        """Find out who asks for what, and do it; most of what reads is done after one step into a thread."""
        done = await self._gateway.run(self._admit, self._request())
        if isinstance(done, Response):
            return done
        operation, context = done
        return await operation.handle(context)

    def _admit(self, request: Request) -> Response | tuple[Operation, Context]:
        """Check who sends it and whether they may; answer what needs nothing but the store. Blocks."""
        gateway, note = self._gateway, self._note
        note.request = request
        note.caller = caller = Caller(None) if request.method == PREFLIGHT else self._authenticate(request)
        operation = route(request)
        note.operation = type(operation).__name__
        gateway.buckets.admit(caller.key, request, operation)
        if request.method != PREFLIGHT:  # what that asks about may have any headers and parameters
            check_headers(request, anonymous=caller.key is None)
        source = source_of(self._scope, self._receive)
        self._body = Body(source, request, caller, room=gateway.room)
        context = Context(gateway, request, caller, self._body, note)
        return operation.answer(context) if isinstance(operation, BlockingOperation) else (operation, context)

    async def _with_cors(self, response: Response) -> Response:
        """Return the answer, error or not, with what tells a browser whether its page may see it."""
        request = self._note.request
        if request is None or request.method == PREFLIGHT or not request.bucket or not request.header("origin"):
            return response
        headers = await self._gateway.run(cors_headers, self._gateway, request)
        return replace(response, headers=(*response.headers, *headers))

    def _authenticate(self, request: Request) -> Caller:
        """Find out who sends it. Keys that cannot be read are the server's trouble, not the client's."""
        gateway = self._gateway
        try:
            return authenticate(request, gateway.keys.find, now_s=gateway.clock_s())
        except PfsError as error:
            log.error("%s: %s, request %s", self._place, error, self._id)  # noqa: TRY400  # it says what and which
            raise S3Error("ServiceUnavailable") from error

    def _told(self, error: PfsError) -> S3Error:
        """Return what the client is told; of the server's own trouble no more than its kind, for it names files."""
        answer = from_pfs(error)
        if answer.status < 500:
            return answer
        log.error("%s: %s, request %s", self._place, redact(str(error)), self._id)
        return S3Error(answer.code)

    def _request(self) -> Request:
        scope = self._scope
        request = parse_request(
            str(scope["method"]),
            cast("bytes", scope["raw_path"]),
            cast("bytes", scope["query_string"]),
            headers=self._headers,
            domains=self._gateway.domains,
            scheme=str(scope["scheme"]),
        )
        return with_carried_headers(request)

    @property
    def _place(self) -> str:
        return redact(f"{self._scope['method']} {self._scope['path']!r}")

    def _error(self, error: S3Error) -> Response:
        self._note.error = error
        resource, host_id = str(self._scope["path"]), self._gateway.host_id
        return error_response(error, resource=resource, request_id=self._id, host_id=host_id)

    async def _respond(self, response: Response) -> None:
        head = self._scope["method"] == "HEAD"
        body = response.body
        size = body.size if isinstance(body, Stream) else len(body)
        length = response.length if response.length is not None else size
        # Of the answer, which may come long after the request: clients set their clocks by it.
        date = http_date(int(self._gateway.clock_s() * SECOND_NS))
        ids = (("x-amz-request-id", self._id), ("x-amz-id-2", self._gateway.host_id), ("server", "pfs"))
        headers = _encoded((("date", date), *ids, *response.headers))
        if response.status not in {204, 304}:
            headers.append((b"content-length", str(length).encode()))
        if self._left_unread():
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(body, Stream) and not head:
            await self._stream(body)
        else:
            content = b"" if head or isinstance(body, Stream) else body
            await self._send({"type": "http.response.body", "body": content, "more_body": False})

    async def _stream(self, body: Stream) -> None:
        """Send a body in pieces. When one cannot be read, the connection ends before the announced length."""
        left, gone, outlet = body.size, asyncio.ensure_future(self._gone()), outlet_of(self._scope)
        try:
            async with aclosing(body.pieces(outlet)) as pieces, Patience(self._gateway.reading.budget) as patience:
                async for piece in pieces:
                    left -= len(piece) + self._settled(outlet)
                    patience.waiting()
                    await self._send({"type": "http.response.body", "body": piece, "more_body": left > 0})
                    if outlet is not None:
                        await outlet.drained()
                    patience.done()
                    if gone.done() and left:
                        return
        except PfsError as error:
            log.error("%s: %s", self._place, redact(str(error)))  # noqa: TRY400  # no traceback: it says what and which
        except TimeoutError:
            log.info("%s: the client takes nothing more", self._place)
        finally:
            gone.cancel()

    def _settled(self, outlet: Outlet | None) -> int:
        """Return the bytes that went past this object since the piece before."""
        sent = 0 if outlet is None else outlet.settle()
        self._note.sent(sent)
        return sent

    async def _gone(self) -> None:
        """Return when the client has closed the connection: sending alone does not tell."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _left_unread(self) -> bool:
        """Say whether the connection holds a body that nobody will read.

        A client that waits for 100 Continue may or may not send it after another answer, so the connection cannot be
        used on; others have it on the way, and the server passes over it.
        """
        waits = any(name == b"expect" for name, _ in self._headers)
        return waits and (self._body is None or not self._body.started)


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), _CONTROL.sub(" ", value).encode()) for name, value in headers]
