"""Readers and writers on one bucket, interleaved: two gateways on one store, several clients, and the library itself.

Every answer is held against a model of dictionaries, and so is the whole bucket now and then.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import pfs
from pfs.store import Store
from tests.s3api.conformance.uploads import PART, part
from tests.s3api.conformance.wire import Wire, parse, text, texts
from tests.s3api.conftest import Reply, Server, running
from tests.s3api.machine.model import Model, Upload, Version

KEYS = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a//b", "ab", "b", "c d+%", "é", "\x01", "z/..", "p/1", "p/2"])
PLAIN_KEYS = st.sampled_from(["p/1", "p/2", "p/3", "q"])
"""Keys that may be paths of files."""
GATEWAYS = st.integers(0, 1)
SMALL = st.binary(max_size=40)


class Site:
    """A store, two gateways on it that can be started again, and clients of both."""

    def __init__(self, home: Path) -> None:
        self.store: Store = pfs.init(home)
        self._home = home
        self._running: dict[int, ExitStack] = {}
        self._servers: dict[int, Server] = {}
        self.wires: dict[int, Wire] = {}
        for number in (0, 1):
            self._start(number)

    def restart(self, number: int) -> None:
        """Let one gateway end, and start another in its place."""
        self._running.pop(number).close()
        self._start(number)

    def _start(self, number: int) -> None:
        stack = self._running[number] = ExitStack()
        store = stack.enter_context(pfs.open(self._home))
        self._servers[number] = stack.enter_context(running(store))
        self.wires[number] = stack.enter_context(closing(Wire(self._servers[number])))

    @contextmanager
    def more(self, count: int) -> Iterator[list[Wire]]:
        """Return so many more clients, of both gateways by turns."""
        with ExitStack() as stack:
            yield [stack.enter_context(closing(Wire(self._servers[number % 2]))) for number in range(count)]

    def close(self) -> None:
        for stack in self._running.values():
            stack.close()
        self.store.close()


def etag_of(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class Machine(RuleBasedStateMachine):
    """The rules; `site` is there for all runs, and each has a bucket of its own."""

    site: Site
    _runs = 0

    @initialize()
    def make_bucket(self) -> None:
        Machine._runs += 1
        self.bucket = f"run{Machine._runs}"
        self.model = Model()
        self.repo = self.site.store.create_repo(self.bucket)
        assert self.site.wires[0].put(f"/{self.bucket}").status == 200

    def send(self, gateway: int, method: str, key: str, query: str = "", **rest: object) -> Reply:
        return self.site.wires[gateway].send(method, f"/{self.bucket}/{quote(key)}{query}", **rest)  # type: ignore[arg-type]

    # ---- writing

    @rule(gateway=GATEWAYS, key=KEYS, body=SMALL, meta=st.sampled_from(["", "1", "x y"]))
    def put(self, gateway: int, key: str, body: bytes, meta: str) -> None:
        headers = {"x-amz-meta-m": meta} if meta else {}
        reply = self.send(gateway, "PUT", key, body=body, headers=headers)
        assert (reply.status, reply.headers["etag"]) == (200, etag_of(body))
        self.model.add(key, Version(reply.headers["x-amz-version-id"], body, etag_of(body), meta))

    @rule(gateway=GATEWAYS, key=KEYS, body=SMALL, kind=st.sampled_from(["absent", "this", "other", "any"]))
    def put_if(self, gateway: int, key: str, body: bytes, kind: str) -> None:
        now = self.model.now(key)
        known = now.etag if now is not None else '"0"'
        headers = {
            "absent": {"If-None-Match": "*"},
            "this": {"If-Match": known},
            "other": {"If-Match": '"other"'},
            "any": {"If-Match": "*"},
        }[kind]
        if kind == "absent":
            wanted = 200 if now is None else 412
        else:
            wanted = 404 if now is None else 412 if kind == "other" else 200
        reply = self.send(gateway, "PUT", key, body=body, headers=headers)
        assert reply.status == wanted, reply.body
        if wanted == 200:
            self.model.add(key, Version(reply.headers["x-amz-version-id"], body, etag_of(body)))

    @rule(key=KEYS, bodies=st.lists(SMALL, min_size=2, max_size=6, unique=True))
    def put_at_once(self, key: str, bodies: list[bytes]) -> None:
        """Several clients write one key: each is a version; which is the last, the bucket says."""
        with self.site.more(len(bodies)) as wires, ThreadPoolExecutor(len(bodies)) as pool:
            path = f"/{self.bucket}/{quote(key)}"
            replies = list(pool.map(lambda wire, body: wire.put(path, body), wires, bodies))
        assert {reply.status for reply in replies} == {200}
        made = {reply.headers["x-amz-version-id"]: body for reply, body in zip(replies, bodies, strict=True)}
        assert len(made) == len(bodies)
        newest = [one for one in self.history(0) if one[0] == key][: len(bodies)]
        assert {version for _, version, _ in newest} == made.keys()
        for _, version, _ in reversed(newest):
            self.model.add(key, Version(version, made[version], etag_of(made[version])))

    @rule(keys=st.lists(KEYS, min_size=2, max_size=6, unique=True), body=SMALL)
    def put_beside(self, keys: list[str], body: bytes) -> None:
        """Several clients write keys of their own."""
        with self.site.more(len(keys)) as wires, ThreadPoolExecutor(len(keys)) as pool:
            paths = [f"/{self.bucket}/{quote(key)}" for key in keys]
            replies = list(pool.map(lambda wire, path: wire.put(path, body), wires, paths))
        for key, reply in zip(keys, replies, strict=True):
            assert reply.status == 200
            self.model.add(key, Version(reply.headers["x-amz-version-id"], body, etag_of(body)))

    @rule(gateway=GATEWAYS, key=KEYS)
    def delete(self, gateway: int, key: str) -> None:
        reply = self.send(gateway, "DELETE", key)
        assert reply.status == 204
        if self.model.now(key) is not None:
            self.model.delete(key, reply.headers["x-amz-version-id"])

    @rule(gateway=GATEWAYS, keys=st.lists(KEYS, min_size=1, max_size=4, unique=True))
    def delete_many(self, gateway: int, keys: list[str]) -> None:
        inside = "".join(f"<Object><Key>{''.join(f'&#{ord(c)};' for c in key)}</Key></Object>" for key in keys)
        path = f"/{self.bucket}?delete"
        reply = self.site.wires[gateway].post(path, f"<Delete>{inside}</Delete>".encode())
        assert (reply.status, len(texts(reply, "Deleted"))) == (200, len(keys)), reply.body
        for key, version in zip(keys, _markers(reply), strict=True):
            self.model.delete(key, version)

    @rule(gateway=GATEWAYS, source=KEYS, to=KEYS, old=st.booleans(), meta=st.sampled_from([None, "2"]))
    def copy(self, gateway: int, source: str, to: str, old: bool, meta: str | None) -> None:
        found = self.model.now(source)
        header = f"{self.bucket}/{quote(source)}"
        if old:
            kept = [one for one in self.model.versions.get(source, ()) if one.body is not None]
            if not kept:
                return
            found = kept[0]
            header += f"?versionId={found.id}"
        headers = {"x-amz-copy-source": header}
        if meta is not None or (source == to and not old):
            headers |= {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-m": meta or "0"}
        reply = self.send(gateway, "PUT", to, headers=headers)
        if found is None:
            assert (reply.status, reply.code) == (404, "NoSuchKey")
            return
        assert (reply.status, text(reply, "ETag")) == (200, found.etag), reply.body
        version = reply.headers["x-amz-version-id"]
        kept_meta = headers.get("x-amz-meta-m", found.meta)
        self.model.add(to, Version(version, found.body, found.etag, kept_meta, found.tags))

    @rule(gateway=GATEWAYS, key=KEYS, tags=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1"])))
    def tag(self, gateway: int, key: str, tags: dict[str, str]) -> None:
        inside = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags.items())
        body = f"<Tagging><TagSet>{inside}</TagSet></Tagging>".encode()
        reply = self.send(gateway, "PUT", key, "?tagging", body=body)
        now = self.model.now(key)
        if now is None:
            assert reply.status == 404
            return
        assert reply.status == 200, reply.body
        if tuple(sorted(tags.items())) != now.tags:
            version = reply.headers["x-amz-version-id"]
            self.model.add(key, Version(version, now.body, now.etag, now.meta, tuple(sorted(tags.items()))))

    @rule(puts=st.dictionaries(PLAIN_KEYS, SMALL, max_size=3), deletes=st.lists(PLAIN_KEYS, max_size=2, unique=True))
    def commit(self, puts: dict[str, bytes], deletes: list[str]) -> None:
        """The library commits several files at once."""
        gone = [key for key in deletes if key not in puts and self.model.now(key) is not None]
        puts = {key: body for key, body in puts.items() if self._differs(key, body)}
        if not puts and not gone:
            return
        with self.repo.commit("master") as writer:
            for key, body in puts.items():
                writer.put_file(f"/{key}", body)
            for key in gone:
                writer.delete_file(f"/{key}")
        version = str(self.repo.branch("master").head)
        for key, body in puts.items():
            tag = self.send(0, "HEAD", key).headers["etag"]
            assert tag.endswith('-1"')
            self.model.add(key, Version(version, body, tag))
        for key in gone:
            self.model.delete(key, version)

    def _differs(self, key: str, body: bytes) -> bool:
        """Say whether a file would be another: the library makes no version of the same bytes."""
        now = self.model.now(key)
        return now is None or now.body != body

    # ---- uploads in parts

    @rule(gateway=GATEWAYS, key=KEYS)
    def begin_upload(self, gateway: int, key: str) -> None:
        reply = self.send(gateway, "POST", key, "?uploads")
        self.model.uploads[text(reply, "UploadId") or ""] = Upload(key)

    @precondition(lambda self: self.model.uploads)
    @rule(gateway=GATEWAYS, data=st.data(), number=st.integers(1, 4), body=SMALL | st.just(PART))
    def put_part(self, gateway: int, data: st.DataObject, number: int, body: bytes) -> None:
        upload_id = data.draw(st.sampled_from([*self.model.uploads]))
        upload = self.model.uploads[upload_id]
        reply = self.send(gateway, "PUT", upload.key, f"?partNumber={number}&uploadId={upload_id}", body=body)
        assert (reply.status, reply.headers["etag"]) == (200, etag_of(body))
        upload.parts[number] = body

    @precondition(lambda self: self.model.uploads)
    @rule(gateway=GATEWAYS, data=st.data(), absent=st.booleans(), abort=st.sampled_from([False, False, True]))
    def end_upload(self, gateway: int, data: st.DataObject, absent: bool, abort: bool) -> None:
        upload_id = data.draw(st.sampled_from([*self.model.uploads]))
        upload = self.model.uploads[upload_id]
        listed = [(number, etag_of(body)) for number, body in sorted(upload.parts.items())]
        if not listed or abort:
            assert self.send(gateway, "DELETE", upload.key, f"?uploadId={upload_id}").status == 204
            del self.model.uploads[upload_id]
            return
        body = f"<CompleteMultipartUpload>{''.join(part(*one) for one in listed)}</CompleteMultipartUpload>".encode()
        headers = {"If-None-Match": "*"} if absent else {}
        reply = self.send(gateway, "POST", upload.key, f"?uploadId={upload_id}", body=body, headers=headers)
        if any(len(upload.parts[number]) < len(PART) for number, _ in listed[:-1]):
            assert reply.code == "EntityTooSmall"
            return
        if absent and self.model.now(upload.key) is not None:
            assert reply.status == 412
            return
        assert reply.status == 200, reply.body
        whole = b"".join(upload.parts[number] for number, _ in listed)
        version = reply.headers["x-amz-version-id"]
        self.model.add(upload.key, Version(version, whole, text(reply, "ETag") or ""))
        del self.model.uploads[upload_id]

    # ---- reading

    @rule(gateway=GATEWAYS, key=KEYS, start=st.integers(0, 50), length=st.integers(1, 50))
    def get(self, gateway: int, key: str, start: int, length: int) -> None:
        now = self.model.now(key)
        reply = self.send(gateway, "GET", key)
        if now is None or now.body is None:
            assert (reply.status, reply.code) == (404, "NoSuchKey")
            return
        self._check(reply, now)
        ranged = self.send(gateway, "GET", key, headers={"Range": f"bytes={start}-{start + length - 1}"})
        if start < len(now.body):
            assert (ranged.status, ranged.body) == (206, now.body[start : start + length])
        else:
            assert ranged.code == "InvalidRange"
        assert self.send(gateway, "GET", key, headers={"If-None-Match": now.etag}).status == 304

    @rule(gateway=GATEWAYS, data=st.data())
    def get_version(self, gateway: int, data: st.DataObject) -> None:
        kept = [(key, one) for key, all_of in sorted(self.model.versions.items()) for one in all_of]
        if not kept:
            return
        key, version = data.draw(st.sampled_from(kept))
        reply = self.send(gateway, "GET", key, f"?versionId={version.id}")
        if version.body is None:
            assert (reply.status, reply.headers["x-amz-delete-marker"]) == (405, "true")
        else:
            self._check(reply, version)
            found = self.send(gateway, "GET", key, f"?tagging&versionId={version.id}")
            pairs = zip(texts(found, "TagSet/Tag/Key"), texts(found, "TagSet/Tag/Value"), strict=True)
            assert tuple(sorted(pairs)) == version.tags

    def _check(self, reply: Reply, version: Version) -> None:
        assert (reply.status, reply.body) == (200, version.body), reply.headers
        assert reply.headers["etag"] == version.etag
        assert reply.headers["x-amz-version-id"] == version.id
        assert reply.headers.get("x-amz-meta-m", "") == version.meta
        assert reply.headers.get("x-amz-tagging-count", "0") == str(len(version.tags))

    @rule(
        gateway=GATEWAYS,
        kind=st.integers(1, 2),
        prefix=st.sampled_from(["", "a", "a/", "p/", "none"]),
        delimiter=st.sampled_from(["", "/", "b", "//"]),
        size=st.integers(1, 5),
    )
    def list_all(self, gateway: int, kind: int, prefix: str, delimiter: str, size: int) -> None:
        keys, prefixes, after = list[str](), list[str](), ""
        query = (
            f"prefix={quote(prefix, safe='')}&delimiter={quote(delimiter, safe='')}&max-keys={size}&encoding-type=url"
        )
        while True:
            mark = f"&list-type=2&continuation-token={after}" if kind == 2 else f"&marker={after}"
            reply = self.site.wires[gateway].get(
                f"/{self.bucket}?{query}{mark if after else '&list-type=2' if kind == 2 else ''}"
            )
            keys += [unquote(key) for key in texts(reply, "Contents/Key")]
            prefixes += [unquote(one) for one in texts(reply, "CommonPrefixes/Prefix")]
            if text(reply, "IsTruncated") == "false":
                break
            if kind == 2:
                after = quote(text(reply, "NextContinuationToken") or "", safe="")
            else:
                after = quote(unquote(text(reply, "NextMarker") or "") or keys[-1], safe="")
            assert after
        assert (keys, prefixes) == self.model.listed(prefix, delimiter)

    @rule(gateway=GATEWAYS, size=st.integers(1, 7))
    def list_versions(self, gateway: int, size: int) -> None:
        assert self.history(gateway, size) == self.model.history()

    def history(self, gateway: int, size: int = 1000) -> list[tuple[str, str, bool]]:
        """Return what ListObjectVersions says, page by page."""
        found, after = list[tuple[str, str, bool]](), ""
        while True:
            reply = self.site.wires[gateway].get(f"/{self.bucket}?versions&max-keys={size}&encoding-type=url{after}")
            assert reply.status == 200, reply.body
            for element in parse(reply):
                if element.tag in {"Version", "DeleteMarker"}:
                    key = unquote(element.findtext("Key") or "")
                    found.append((key, element.findtext("VersionId") or "", element.tag == "DeleteMarker"))
                    newest = key not in {one[0] for one in found[:-1]}
                    assert element.findtext("IsLatest") == str(newest).lower()
            if text(reply, "IsTruncated") == "false":
                return found
            key = quote(unquote(text(reply, "NextKeyMarker") or ""), safe="")
            after = f"&key-marker={key}&version-id-marker={text(reply, 'NextVersionIdMarker')}"

    # ---- the gateways themselves

    @rule(number=GATEWAYS)
    def restart(self, number: int) -> None:
        """One gateway ends and another begins; uploads under way go on."""
        self.site.restart(number)
        for upload_id, upload in self.model.uploads.items():
            reply = self.send(number, "GET", upload.key, f"?uploadId={upload_id}")
            assert texts(reply, "Part/PartNumber") == [str(one) for one in sorted(upload.parts)]

    @invariant()
    def nothing_is_there_that_should_not_be(self) -> None:
        if hasattr(self, "model"):
            tree = self.site.wires[1].get(f"/{self.bucket}?encoding-type=url")
            assert [unquote(key) for key in texts(tree, "Contents/Key")] == [*self.model.present()]


def _markers(reply: Reply) -> list[str]:
    """Return the version of the delete marker of each key of an answer; empty where there is none."""
    return [element.findtext("DeleteMarkerVersionId") or "" for element in parse(reply).findall("Deleted")]
