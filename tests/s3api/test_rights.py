"""Who may do what: every operation, for every kind of key, in every kind of repo."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import pfs
from pfs.changes.trash import undelete_repo
from pfs.keys import Key, Keys
from pfs.store import Store
from s3api.router import ROUTES
from tests.s3api.conftest import Server, running
from tests.s3api.test_post_object import post, signed_form

Right = Literal["read", "write", "own"]
UPLOAD = "0" * 32
OPERATIONS: Mapping[str, tuple[Right, str, str, Mapping[str, str]]] = {
    "AbortMultipartUpload": ("write", "DELETE", f"/k?uploadId={UPLOAD}", {}),
    "CompleteMultipartUpload": ("write", "POST", f"/k?uploadId={UPLOAD}", {}),
    "CopyObject": ("write", "PUT", "/copy", {"x-amz-copy-source": "{bucket}/kept"}),
    "CreateBucket": ("own", "PUT", "", {}),
    "CreateMultipartUpload": ("write", "POST", "/k?uploads", {}),
    "DeleteBucket": ("own", "DELETE", "", {}),
    "DeleteBucketCors": ("own", "DELETE", "?cors", {}),
    "DeleteBucketTagging": ("own", "DELETE", "?tagging", {}),
    "DeleteObject": ("write", "DELETE", "/none", {}),
    "DeleteObjects": ("write", "POST", "?delete", {}),
    "DeleteObjectTagging": ("write", "DELETE", "/kept?tagging", {}),
    "GetBucketAcl": ("read", "GET", "?acl", {}),
    "GetBucketCors": ("read", "GET", "?cors", {}),
    "GetBucketLocation": ("read", "GET", "?location", {}),
    "GetBucketTagging": ("read", "GET", "?tagging", {}),
    "GetBucketVersioning": ("read", "GET", "?versioning", {}),
    "GetObject": ("read", "GET", "/kept", {}),
    "GetObjectAcl": ("read", "GET", "/kept?acl", {}),
    "GetObjectAttributes": ("read", "GET", "/kept?attributes", {"x-amz-object-attributes": "ETag"}),
    "GetObjectTagging": ("read", "GET", "/kept?tagging", {}),
    "HeadBucket": ("read", "HEAD", "", {}),
    "HeadObject": ("read", "HEAD", "/kept", {}),
    "ListMultipartUploads": ("read", "GET", "?uploads", {}),
    "ListObjects": ("read", "GET", "", {}),
    "ListObjectsV2": ("read", "GET", "?list-type=2", {}),
    "ListObjectVersions": ("read", "GET", "?versions", {}),
    "ListParts": ("write", "GET", f"/k?uploadId={UPLOAD}", {}),
    "PutBucketAcl": ("own", "PUT", "?acl", {"x-amz-acl": "private"}),
    "PutBucketCors": ("own", "PUT", "?cors", {}),
    "PutBucketTagging": ("own", "PUT", "?tagging", {}),
    "PutBucketVersioning": ("own", "PUT", "?versioning", {}),
    "PutObject": ("write", "PUT", "/k", {}),
    "PutObjectAcl": ("write", "PUT", "/kept?acl", {"x-amz-acl": "private"}),
    "PutObjectTagging": ("write", "PUT", "/kept?tagging", {}),
    "UploadPart": ("write", "PUT", f"/k?partNumber=1&uploadId={UPLOAD}", {}),
    "UploadPartCopy": ("write", "PUT", f"/k?partNumber=1&uploadId={UPLOAD}", {"x-amz-copy-source": "{bucket}/kept"}),
}
BODIES: Mapping[str, bytes] = {
    "CompleteMultipartUpload": b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>"
    b"</CompleteMultipartUpload>",
    "PutBucketCors": b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    b"</CORSRule></CORSConfiguration>",
    "PutBucketTagging": b"<Tagging><TagSet/></Tagging>",
    "PutObjectTagging": b"<Tagging><TagSet/></Tagging>",
}
"""What each needs, and a request that changes nothing of what the others need when it is allowed."""
APART = {"ListBuckets", "PostObject", "Preflight"}
"""They decide themselves; see below, test_cors.py and test_post_object.py."""
MAY: Mapping[str, set[Right]] = {"reader": {"read"}, "writer": {"read", "write"}, "owner": {"read", "write", "own"}}


@dataclass(frozen=True)
class World:
    """A server with repos ``mine`` (some keys are for it alone), ``other`` and ``open`` (for anyone), and keys."""

    server: Server
    keys: dict[str, tuple[Key, str]]

    def as_key(self, name: str) -> Server:
        key, secret = self.keys[name]
        return Server(self.server.store, self.server.keys, self.server.url, key, secret)


def fill(store: Store, name: str) -> None:
    with store.create_repo(name).commit("master") as commit:
        commit.put_file("/kept", b"data")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pfs.init(tmp_path_factory.mktemp("home")) as store:
        for name in ("mine", "other", "open"):
            fill(store, name)
        made = dict[str, tuple[Key, str]]()
        for role in MAY:
            made[f"{role}"] = Keys(store).create(f"{role}", role=role)
            made[f"{role}-of-mine"] = Keys(store).create(f"{role}-of-mine", role=role, repos=["mine"])
            made[f"{role}-of-earlier"] = Keys(store).create(f"{role}-of-earlier", role=role, repos=["mine", "open"])
        store.delete_repo("mine")
        fill(store, "mine")
        for role in MAY:
            Keys(store).delete(f"{role}-of-mine")
            made[f"{role}-of-mine"] = Keys(store).create(f"{role}-of-mine", role=role, repos=["mine"])
        with running(store, anonymous_read=["open"]) as server:
            yield World(server, made)


CALLERS = [None, *(f"{role}{of}" for role in MAY for of in ("", "-of-mine", "-of-earlier"))]


def is_allowed(caller: str | None, right: Right, repo: str) -> bool:
    """Say what should be, in the words of the documentation."""
    if right == "read" and repo == "open":
        return True
    if caller is None:
        return False
    role, _, scope = caller.partition("-of-")
    repos = {"": {"mine", "other", "open"}, "mine": {"mine"}, "earlier": {"open"}}[scope]
    return right in MAY[role] and repo in repos


def test_the_table_has_every_operation() -> None:
    served = {one.operation.__name__ for routes in ROUTES.values() for one in routes}
    assert served - APART <= set(OPERATIONS)


SERVED = sorted(OPERATIONS.keys() & {one.operation.__name__ for routes in ROUTES.values() for one in routes})


BRANCHES = [(name, "master.mine") for name in ("GetObject", "PutObject", "DeleteBucket", "ListParts")]


@pytest.mark.parametrize(
    ("name", "repo"), [*((name, repo) for name in SERVED for repo in ("mine", "other", "open")), *BRANCHES]
)
def test_every_operation_for_every_key(world: World, name: str, repo: str) -> None:
    right, method, path, headers = OPERATIONS[name]
    sent = {header: value.replace("{bucket}", repo) for header, value in headers.items()}
    found = dict[str | None, bool]()
    for caller in CALLERS:
        server = world.server if caller is None else world.as_key(caller)
        body = BODIES.get(name, b"")
        reply = server.request(method, f"/{repo}{path}", body=body, headers=sent, sign=caller is not None)
        denied = reply.status == 403 and reply.code in {"", "AccessDenied"}
        assert denied or (reply.status < 500 and reply.status != 403)
        found[caller] = not denied
    assert found == {caller: is_allowed(caller, right, repo.removeprefix("master.")) for caller in CALLERS}


@pytest.mark.parametrize("caller", [name for name in CALLERS if name is not None])
def test_which_buckets_are_listed(world: World, caller: str) -> None:
    key, secret = world.keys[caller]
    with closing(world.server.client(key=key, secret=secret)) as s3:
        found = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert found == {repo for repo in ("mine", "other", "open") if is_allowed(caller, "read", repo)}


@pytest.fixture
def limited(world: World) -> Iterator[BaseClient]:
    key, secret = world.keys["writer-of-mine"]
    with closing(world.server.client(key=key, secret=secret)) as s3:
        yield s3


@pytest.mark.parametrize(("source", "allowed"), [("mine", True), ("open", True), ("other", False), ("none", False)])
def test_a_copy_needs_the_right_to_read_its_source(limited: BaseClient, source: str, allowed: bool) -> None:
    upload = limited.create_multipart_upload(Bucket="mine", Key="parts")["UploadId"]
    place = {"CopySource": {"Bucket": source, "Key": "kept"}}
    for copy, more in (
        (limited.copy_object, {"Key": "copy"}),
        (limited.upload_part_copy, {"Key": "parts", "UploadId": upload, "PartNumber": 1}),
    ):
        if allowed:
            copy(Bucket="mine", **place, **more)
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                copy(Bucket="mine", **place, **more)
    limited.abort_multipart_upload(Bucket="mine", Key="parts", UploadId=upload)


@pytest.mark.parametrize("caller", [name for name in CALLERS if name is not None])
@pytest.mark.parametrize("repo", ["mine", "other"])
def test_a_form_needs_the_right_to_write(world: World, caller: str, repo: str) -> None:
    form = signed_form(world.as_key(caller), repo, [{"key": "form"}], {"key": "form"})
    assert post(world.server, repo, form).status == (204 if is_allowed(caller, "write", repo) else 403)


def test_a_key_for_some_repos_makes_branches_there_and_no_other_repo(world: World) -> None:
    server = world.as_key("owner-of-mine")
    assert server.request("PUT", "/dev.mine").status == 200
    assert server.request("DELETE", "/dev.mine").status == 204
    for bucket in ("new", "dev.other", "dev.new"):
        assert server.request("PUT", f"/{bucket}").code == "AccessDenied"


def test_a_key_outlives_its_repo_but_not_for_the_next_of_that_name(home: Store) -> None:
    fill(home, "a")
    key, secret = Keys(home).create("k", role="owner", repos=["a"])
    with running(home) as root:
        server = Server(root.store, root.keys, root.url, key, secret)
        assert server.request("GET", "/a/kept").status == 200
        home.delete_repo("a")
        assert server.request("GET", "/a/kept").code == "NoSuchBucket"
        assert server.request("PUT", "/a").code == "AccessDenied"
        assert root.request("PUT", "/a").status == 200
        for method, path in (("GET", "/a/kept"), ("PUT", "/a/k"), ("PUT", "/a"), ("PUT", "/b.a"), ("DELETE", "/a")):
            assert server.request(method, path).code == "AccessDenied"
        assert b"<Name>a</Name>" not in server.request("GET", "/").body
        home.delete_repo("a")
        undelete_repo(home, "a", before=1)
        assert server.request("GET", "/a/kept").status == 200


def test_a_key_that_is_deleted_is_refused_at_once_by_every_server(home: Store) -> None:
    fill(home, "a")
    key, secret = Keys(home).create("k")
    with pfs.open(home.path.parent) as again, running(home) as one, running(again) as two:
        servers = [Server(each.store, each.keys, each.url, key, secret) for each in (one, two)]
        with closing(servers[0].client()) as client:
            url = client.generate_presigned_url("get_object", Params={"Bucket": "a", "Key": "kept"})
        path = url.removeprefix(one.url)
        assert [server.request("GET", "/a/kept").status for server in servers] == [200, 200]
        assert servers[0].request("GET", path, sign=False).status == 200
        Keys(again).delete("k")
        assert [server.request("GET", "/a/kept").code for server in servers] == ["InvalidAccessKeyId"] * 2
        assert servers[0].request("GET", path, sign=False).code == "InvalidAccessKeyId"


def test_a_body_of_a_role_that_may_not_write_is_not_asked_for(world: World) -> None:
    """The answer comes before 100 Continue; nothing is stored."""
    server = world.as_key("reader")
    digest = base64.b64encode(b"0" * 16).decode()
    headers = server.sign("PUT", "/mine/k", {"Expect": "100-continue", "Content-Length": "9", "Content-MD5": digest})
    reply = server.request("PUT", "/mine/k", headers=headers, sign=False)
    assert (reply.status, reply.headers["connection"]) == (403, "close")
