"""Requests: of every operation and beside it, signed and not, well-formed and mutated, each as the bytes to send."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from s3api.router import ROUTES
from tests.s3api.fuzz import chunks, xmls
from tests.s3api.fuzz.forms import form
from tests.s3api.fuzz.messages import clean, message
from tests.s3api.fuzz.signing import Headers, Signer
from tests.s3api.fuzz.words import KEYS, Pool, bucket, key, number, octets, spoil, word

UNSIGNED = "UNSIGNED-PAYLOAD"
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "G\xcbT")
HEADERS = (
    *("Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Content-Type"),
    *("Content-MD5", "Content-Encoding", "Content-Language", "Cache-Control", "Expires", "Content-Disposition"),
    *("x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match", "x-amz-metadata-directive"),
    *("x-amz-copy-source-if-modified-since", "x-amz-tagging", "x-amz-tagging-directive", "x-amz-meta-a", "x-amz-meta-"),
    *("x-amz-checksum-crc32", "x-amz-checksum-sha256", "x-amz-checksum-crc64nvme", "x-amz-checksum-algorithm"),
    *("x-amz-checksum-type", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "x-amz-acl"),
    *("x-amz-decoded-content-length", "x-amz-storage-class", "x-amz-expected-bucket-owner", "x-amz-mp-object-size"),
    *("x-amz-object-attributes", "x-amz-max-parts", "x-amz-part-number-marker", "x-amz-mfa", "x-amz-grant-read"),
    *("x-amz-server-side-encryption", "x-amz-if-match-size", "x-amz-if-match-last-modified-time", "Origin"),
    *("Access-Control-Request-Method", "Access-Control-Request-Headers", "x-amz-security-token", "Date", "Expect"),
    *("Accept-Encoding", "X-Forwarded-For", "X-HTTP-Method-Override", "Upgrade", "TE", "Trailer", "User-Agent"),
    *("x-amz-bypass-governance-retention", "x-amz-request-payer", "x-amz-optional-object-attributes", "x-amz-unheard"),
)
PARAMS = sorted({name for routes in ROUTES.values() for one in routes for name in one.needs | one.takes})
SUBRESOURCES = ("acl", "policy", "versions", "attributes", "lifecycle", "restore", "select", "torrent", "uploads")
HOSTS = (
    "b.s3.test",
    ".s3.test",
    "a.b.c.s3.test",
    "s3.test",
    "",
    "[::1]:80",
    "b..s3.test:99999",
    "é.s3.test",
    "x" * 3000,
)
KINDS = {"plain": 6, "operation": 6, "xml": 3, "chunks": 3, "signature": 2, "form": 3, "head": 1, "bytes": 4}
USUAL = {"list-type": "2", "partNumber": "1", "encoding-type": "url", "delimiter": "/", "max-keys": "3"}


@dataclass(frozen=True)
class Case:
    """A request to send, and what kind it is."""

    kind: str
    data: bytes


@dataclass(frozen=True)
class Maker:
    """Makes requests, each from a random number generator of its own, so that one can be made again."""

    signer: Signer
    host: str
    pool: Pool

    def make(self, rng: random.Random) -> Case:
        kind = rng.choices([*KINDS], [*KINDS.values()])[0]
        makers: dict[str, Callable[[random.Random], bytes]] = {
            "plain": self._plain,
            "operation": self._operation,
            "xml": self._xml,
            "chunks": self._chunks,
            "signature": self._signature,
            "form": self._form,
            "head": self._head,
            "bytes": self._bytes,
        }
        return Case(kind, makers[kind](rng))

    @property
    def _host(self) -> Headers:
        return [("Host", self.host.encode())]

    def _plain(self, rng: random.Random) -> bytes:
        """A request that is right, so that there is something for the others to meet."""
        path = f"/{rng.choice(['b', 'b', 'dev.b', 'public'])}/{quote(rng.choice(KEYS))}"
        upload, version, tag = self.pool.upload(rng), self.pool.version(rng), self.pool.etag(rng)
        part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>".encode()
        done = b"<CompleteMultipartUpload>" + part + b"</CompleteMultipartUpload>"
        method, target, headers, body = rng.choice(
            [
                *[("PUT", path, {}, octets(rng, rng.choice([0, 5, 3000])))] * 3,
                ("PUT", path, {"x-amz-copy-source": "b/k", "x-amz-checksum-algorithm": "SHA1"}, b""),
                ("PUT", path, {"If-None-Match": "*", "x-amz-meta-a": "1"}, b"new"),
                *[("GET", path, {"Range": rng.choice(["bytes=1-2", "bytes=-3", "bytes=9-"])}, b"")] * 2,
                ("GET", path, {"If-None-Match": "*"}, b""),
                ("GET", f"{path}?versionId={version}", {}, b""),
                ("DELETE", path, {}, b""),
                ("POST", f"{path}?uploads", {"x-amz-checksum-algorithm": "CRC32"}, b""),
                ("PUT", f"{path}?partNumber=1&uploadId={upload}", {}, b"part"),
                ("POST", f"{path}?uploadId={upload}", {}, done),
                ("PUT", "/b", {}, b""),
                ("GET", f"/b?list-type=2&max-keys=2&continuation-token={quote(self.pool.token(rng))}", {}, b""),
                ("GET", "/b?versions&max-keys=3", {}, b""),
            ]
        )
        sent: Headers = [(name, value.encode()) for name, value in headers.items()]
        return message(
            method, target, self.signer.headers(method, target, [*self._host, *sent], payload=UNSIGNED), body
        )

    def _operation(self, rng: random.Random) -> bytes:
        method, target = self._target(rng)
        body = self._body(rng) if rng.random() < 0.4 else b""
        return self._signed(rng, method, target, self._headers(rng), body=body)

    def _xml(self, rng: random.Random) -> bytes:
        place, name = bucket(rng), quote(key(rng))
        method, target = rng.choice(
            [
                ("POST", f"/{place}?delete"),
                ("POST", f"/{place}/{name}?uploadId={quote(self.pool.upload(rng))}"),
                *(("PUT", f"/{place}{tail}") for tail in (f"/{name}?tagging", "?tagging", "?cors", "?versioning")),
                ("PUT", f"/new{rng.randrange(20)}"),
            ]
        )
        return self._signed(rng, method, target, self._headers(rng, 1), body=xmls.body(rng, self.pool))

    def _chunks(self, rng: random.Random) -> bytes:
        payload = rng.choice(chunks.PAYLOADS)
        parts = [octets(rng, rng.choice([0, 1, 5, 300])) for _ in range(rng.randint(0, 3))]
        size = str(sum(map(len, parts)) + rng.choice([0, 0, 0, 0, 1, -1]))
        headers: Headers = [("Content-Encoding", b"aws-chunked")] if rng.random() < 0.7 else []
        if rng.random() < 0.9:
            headers.append(("x-amz-decoded-content-length", rng.choice([size] * 6 + [number(rng)]).encode()))
        if rng.random() < 0.6:
            named = rng.choice(["x-amz-checksum-crc32", "x-amz-checksum-sha1", "x-other", word(rng)])
            headers.append(("x-amz-trailer", named.encode()))
        target = f"/b/{quote(key(rng))}"
        if rng.random() < 0.3:
            target += (
                f"?partNumber={quote(rng.choice(['1', '2', number(rng)]))}&uploadId={quote(self.pool.upload(rng))}"
            )
        signed = self.signer.headers("PUT", target, clean([*self._host, *headers]), payload=payload)
        body = chunks.framed(rng, parts, signed, signer=self.signer)
        if rng.random() < 0.5:
            body = spoil(rng, body, 2)
        return message("PUT", target, signed, body, chunked=rng.random() < 0.3)

    def _signature(self, rng: random.Random) -> bytes:
        """A request whose signature, in header or query, is spoiled or of another kind."""
        method, target = self._target(rng)
        if rng.random() < 0.5:
            headers = self.signer.headers(method, target, self._host, payload=UNSIGNED)
            sent = [*headers[:-1], ("Authorization", self._authorization(rng, headers[-1][1]))]
            if rng.random() < 0.3:
                sent = [(n, word(rng).encode() if n == "x-amz-date" else v) for n, v in sent]
            return message(method, target, clean(sent))
        names = ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]
        usual = ["AWS4-HMAC-SHA256", f"{self.signer.access_key}/20260101/us-east-1/s3/aws4_request", "20260101T000000Z"]
        usual += ["604800", "host", "0" * 64]
        pairs = [
            (f"X-Amz-{n}", rng.choice([v] * 4 + [word(rng), number(rng)])) for n, v in zip(names, usual, strict=True)
        ]
        if rng.random() < 0.4:
            pairs = [("AWSAccessKeyId", self.signer.access_key), ("Expires", number(rng)), ("Signature", word(rng))]
        query = "&".join(f"{name}={quote(value)}" for name, value in pairs if rng.random() < 0.95)
        return message(method, f"{target}{'&' if '?' in target else '?'}{query}", self._host)

    def _authorization(self, rng: random.Random, right: bytes) -> bytes:
        other = [
            spoil(rng, right),
            b"AWS " + word(rng).encode(),
            f"AWS {self.signer.access_key}:{word(rng)}".encode(),
            b"AWS4-HMAC-SHA256 " + word(rng).encode(),
            right.replace(b"SignedHeaders=", b"SignedHeaders=a;b;"),
            right.replace(b"us-east-1", word(rng).encode()),
            right + b"," + right,
            word(rng).encode(),
        ]
        return rng.choice(other)

    def _form(self, rng: random.Random) -> bytes:
        made = form(rng, self.signer)
        target = rng.choice(["/b", "/b", "/b", "/b/", "/public", "/nobody-has-this", "/b/k"])
        headers = clean([*self._host, ("Content-Type", made.content_type)])
        return message("POST", target, headers, made.body, chunked=rng.random() < 0.2)

    def _bytes(self, rng: random.Random) -> bytes:
        """Any other request with bytes of it changed, or no request at all."""
        if rng.random() < 0.1:
            return octets(rng, rng.choice([1, 10, 300]))
        kinds = [self._operation, self._xml, self._chunks, self._form, self._head]
        return spoil(rng, rng.choice(kinds)(rng)[:200_000], 8)

    def _head(self, rng: random.Random) -> bytes:
        """Heads that are large or odd."""
        versions = ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "http/1.1", ""]
        many: Headers = [(f"x-custom-{n}", b"v") for n in range(rng.choice([100, 1000, 5000]))]
        large: Headers = [("x-custom", b"v" * rng.choice([1000, 31_000, 33_000, 70_000]))]
        return rng.choice(
            [
                message("GET", "/b", [*self._host, *many]),
                message("GET", "/b", [*self._host, *large]),
                message("GET", "/b?" + "a&" * rng.choice([10, 1000, 15_000, 40_000]), self._host),
                message("GET", "/" * rng.choice([2, 1000, 30_000]), self._host),
                f"GET /b {rng.choice(versions)}\r\nHost: {self.host}\r\n\r\n".encode(),
                message("GET", "/k", [("Host", rng.choice(HOSTS).encode())] * rng.choice([1, 1, 2, 0])),
            ]
        )

    def _target(self, rng: random.Random) -> tuple[str, str]:
        """Return a method and an address: of some operation, with some of its parameters, now and then of none."""
        (level, method), routes = rng.choice(sorted(ROUTES.items()))
        route = rng.choice(routes)
        names = [*route.needs, *rng.sample(sorted(route.takes), rng.randint(0, min(3, len(route.takes))))]
        if rng.random() < 0.1:
            names.append(rng.choice([*SUBRESOURCES, *PARAMS, word(rng)]))
        if rng.random() < 0.05:
            method = rng.choice(METHODS)
        pairs = [quote(n) + ("" if rng.random() < 0.05 else f"={self._value(rng, n)}") for n in sorted(set(names))]
        path = "/" if level == "service" else f"/{bucket(rng)}"
        path = quote(path, safe="/%")
        if level == "object":
            path += "/" + quote(key(rng))
        return method, f"{path}?{'&'.join(pairs)}" if pairs else path

    def _value(self, rng: random.Random, name: str) -> str:
        known = {"uploadId": self.pool.upload, "versionId": self.pool.version, "continuation-token": self.pool.token}
        if rng.random() < 0.7 and name in known:
            return quote(known[name](rng), safe="")
        if rng.random() < 0.7 and name in USUAL:
            return quote(USUAL[name], safe="")
        if rng.random() < 0.03:
            return rng.choice(["%", "%zz", "%FF", "%00", "+", "%C3"])
        return quote(rng.choice([word, number, key])(rng), safe="")

    def _headers(self, rng: random.Random, most: int = 4) -> Headers:
        names = rng.choices(HEADERS, k=rng.choice([0, 1, 1, most]))
        return clean([(name, rng.choice([word, number])(rng).encode()) for name in names])

    def _body(self, rng: random.Random) -> bytes:
        return rng.choice([b"", b"hello", octets(rng, 64), b"x" * 70_000, xmls.body(rng, self.pool)])

    def _signed(self, rng: random.Random, method: str, target: str, headers: Headers, *, body: bytes) -> bytes:
        if rng.random() < 0.08:
            return message(method, target, [*self._host, *headers], body)
        payload = rng.choice([UNSIGNED] * 12 + [hashlib.sha256(body).hexdigest()] * 6 + ["0" * 64, "x"])
        signed = self.signer.headers(method, target, [*self._host, *headers], payload=payload)
        return message(method, target, signed, body, chunked=bool(body) and rng.random() < 0.1)
