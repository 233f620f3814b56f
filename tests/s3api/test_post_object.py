"""Forms posted to a bucket, over HTTP: made by boto3 and by hand, and everything that may be wrong with them."""

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from botocore.client import BaseClient
from urllib3.filepost import encode_multipart_formdata

import pfs
from pfs.keys import Keys
from tests.s3api.conftest import Reply, Server, running

Fields = Mapping[str, str]
DATA = b"some data\r\n--with dashes"


def post(
    server: Server,
    bucket: str,
    fields: Fields,
    file: object = ("f.txt", DATA, "text/plain"),
    *,
    headers: Fields | None = None,
    behind: Sequence[tuple[str, str]] = (),
) -> Reply:
    """Post a form as a browser does: no signature but that of the policy."""
    parts = [*fields.items(), *([("file", file)] if file is not None else []), *behind]
    body, kind = encode_multipart_formdata(parts)
    sent = {"Content-Type": kind} | dict(headers or {})
    return server.request("POST", f"/{bucket}", body=body, headers=sent, sign=False)


def policy_text(bucket: str, conditions: Sequence[object], *, later_s: float = 600) -> str:
    expiration = (datetime.now(UTC) + timedelta(seconds=later_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {"expiration": expiration, "conditions": [{"bucket": bucket}, *conditions]}
    return base64.b64encode(json.dumps(document).encode()).decode()


def signed_form(server: Server, bucket: str, conditions: Sequence[object], fields: Fields, **options: float) -> Fields:
    """Return a form with a version 2 signature, made without botocore."""
    policy = policy_text(bucket, conditions, **options)
    digest = hmac.digest(server.secret.encode(), policy.encode(), "sha1")
    signature = base64.b64encode(digest).decode()
    return {**fields, "AWSAccessKeyId": server.key.access_key, "policy": policy, "signature": signature}


def key_form(server: Server, bucket: str, *conditions: object, **fields: str) -> Fields:
    """Return a form that writes the key ``k``."""
    return signed_form(server, bucket, [{"key": "k"}, *conditions], {"key": "k", **fields})


@pytest.fixture(params=["s3", "s3v4"])
def signer(request: pytest.FixtureRequest, server: Server) -> Iterator[BaseClient]:
    with closing(server.client(signature_version=request.param)) as client:
        yield client


def test_what_boto3_makes_out_of_the_box(server: Server, s3: BaseClient, bucket: str) -> None:
    made = s3.generate_presigned_post(bucket, "dir/k")
    assert made["url"] == f"{server.url}/{bucket}"
    reply = post(server, bucket, made["fields"])
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["etag"] == f'"{hashlib.md5(DATA, usedforsecurity=False).hexdigest()}"'
    assert reply.headers["location"] == f"{server.url}/{bucket}/dir%2Fk"
    got = s3.get_object(Bucket=bucket, Key="dir/k")
    assert got["Body"].read() == DATA
    assert got["ContentType"] == "binary/octet-stream"
    assert got["VersionId"] == reply.headers["x-amz-version-id"]


def test_what_boto3_makes_with_fields_and_conditions(
    server: Server, signer: BaseClient, s3: BaseClient, bucket: str
) -> None:
    fields = {
        "acl": "private",
        "Content-Type": "image/png",
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="é.png"',
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
        "x-amz-meta-Who": "me",
        "x-amz-storage-class": "STANDARD",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
        "success_action_status": "201",
    }
    conditions = [{name: value} for name, value in fields.items() if name != "Content-Type"]
    conditions += [["starts-with", "$content-type", "image/"], ["content-length-range", 1, 100]]
    made = signer.generate_presigned_post(bucket, "in/${filename}", Fields=dict(fields), Conditions=conditions)
    reply = post(server, bucket, made["fields"], ("C:\\pictures\\a b.png", DATA), behind=[("submit", "Send")])
    assert reply.status == 201
    root = ElementTree.fromstring(reply.body)
    assert root.tag == "PostResponse"
    found = {child.tag: child.text for child in root}
    location = f"{server.url}/{bucket}/in%2Fa%20b.png"
    assert found == {
        "Location": location,
        "Bucket": bucket,
        "Key": "in/a b.png",
        "ETag": reply.headers["etag"],
    }
    assert reply.headers["location"] == location
    got = s3.get_object(Bucket=bucket, Key="in/a b.png")
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("image/png", "no-cache", {"who": "me"})
    tags = s3.get_object_tagging(Bucket=bucket, Key="in/a b.png")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize(
    ("status", "answer"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("x", 204)]
)
def test_the_status_that_the_form_asks_for(server: Server, bucket: str, status: str, answer: int) -> None:
    form = key_form(server, bucket, {"success_action_status": status}, success_action_status=status)
    reply = post(server, bucket, form)
    assert reply.status == answer
    assert (reply.body == b"") == (answer != 201)


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
@pytest.mark.parametrize(
    ("target", "begins"),
    [
        ("http://site.test/done", "http://site.test/done?bucket="),
        ("https://site.test/done?a=b c", "https://site.test/done?a=b%20c&bucket="),
        ("http://site.test/é#part", "http://site.test/%C3%A9?bucket="),
    ],
)
def test_a_redirect(server: Server, bucket: str, name: str, target: str, begins: str) -> None:
    form = signed_form(
        server,
        bucket,
        [["starts-with", "$key", ""], ["starts-with", f"${name}", "http"]],
        {"key": "a/b c", name: target},
    )
    reply = post(server, bucket, form)
    assert (reply.status, reply.body) == (303, b"")
    assert reply.headers["location"].startswith(begins)
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    assert (query["bucket"], query["key"], query["etag"]) == ([bucket], ["a/b c"], [reply.headers["etag"]])


@pytest.mark.parametrize("target", ["/relative", "javascript:alert(1)", "http://", "http://[", "ftp://a/b", ""])
def test_what_no_browser_can_be_sent_to_is_passed_over(server: Server, bucket: str, target: str) -> None:
    form = key_form(server, bucket, {"success_action_redirect": target}, success_action_redirect=target)
    assert post(server, bucket, form).status == 204


def absent(server: Server, bucket: str) -> bool:
    """Say whether the bucket is as it was: no object, no commit."""
    return server.store.repo(bucket).branch("master").head is None


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("without", ["AWSAccessKeyId", "signature", "policy", "key", "file", "x-amz-algorithm"])
def test_fields_that_are_missing(server: Server, bucket: str, version: str, without: str) -> None:
    with closing(server.client(signature_version=version)) as client:
        fields = client.generate_presigned_post(bucket, "k")["fields"]
    name = f"x-amz-{without}" if version == "s3v4" and without == "signature" else without
    if name not in {*fields, "file"}:
        return
    fields.pop(name, None)
    reply = post(server, bucket, fields, None if name == "file" else DATA)
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    argument = reply.body.partition(b"<ArgumentName>")[2].partition(b"<")[0].decode()
    assert argument.lower() == name.lower()
    assert absent(server, bucket)


def test_a_form_that_nobody_signed(server: Server, bucket: str) -> None:
    for fields in ({"key": "k"}, {"key": "k", "policy": policy_text(bucket, [{"key": "k"}])}):
        reply = post(server, bucket, fields)
        assert (reply.status, reply.code) == (403, "AccessDenied")
    assert absent(server, bucket)


def test_signatures_that_are_wrong(server: Server, signer: BaseClient, bucket: str) -> None:
    fields = signer.generate_presigned_post(bucket, "k")["fields"]
    name = "signature" if "signature" in fields else "x-amz-signature"
    reply = post(server, bucket, {**fields, name: fields[name][::-1]})
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert f"<StringToSign>{fields['policy']}<".encode() in reply.body
    cut = post(server, bucket, {**fields, "policy": fields["policy"][:-2]})
    assert cut.code == "SignatureDoesNotMatch"
    other = {n: v.replace(server.key.access_key, "A" * 20) for n, v in fields.items()}
    assert post(server, bucket, other).code == "InvalidAccessKeyId"
    assert absent(server, bucket)


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256", (501, "NotImplemented")),
        ("x-amz-algorithm", "AWS4", (400, "InvalidArgument")),
        ("x-amz-credential", "AKID", (400, "InvalidArgument")),
        ("x-amz-date", "today", (400, "InvalidArgument")),
        ("x-amz-security-token", "left over", (400, "InvalidToken")),
    ],
)
def test_fields_of_version_4_that_are_wrong(
    server: Server, bucket: str, name: str, value: str, answer: tuple[int, str]
) -> None:
    with closing(server.client(signature_version="s3v4")) as client:
        fields = client.generate_presigned_post(bucket, "k")["fields"]
    reply = post(server, bucket, {**fields, name: value})
    assert (reply.status, reply.code) == answer


def test_a_signature_of_version_4_lasts_a_week(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = [datetime.now(UTC).timestamp()]
    with (
        pfs.init(tmp_path_factory.mktemp("home")) as store,
        running(store, clock_s=lambda: clock[0]) as server,
        closing(server.client(signature_version="s3v4")) as client,
    ):
        store.create_repo("b").create_branch("master")
        fields = client.generate_presigned_post("b", "k", ExpiresIn=30 * 24 * 3600)["fields"]
        assert post(server, "b", fields).status == 204
        clock[0] += 7 * 24 * 3600 + 60
        assert post(server, "b", fields).code == "AccessDenied"


@pytest.mark.parametrize(
    ("conditions", "fields", "answer"),
    [
        ([{"key": "other"}], {}, (403, "AccessDenied")),
        ([["starts-with", "$key", "x"]], {}, (403, "AccessDenied")),
        ([{"key": "k"}], {"x-amz-meta-a": "1"}, (403, "AccessDenied")),
        ([{"key": "k"}, ["starts-with", "$x-amz-meta-a", ""]], {}, (403, "AccessDenied")),
        ([{"key": "k"}, {"acl": "private"}], {"acl": "public-read"}, (403, "AccessDenied")),
        ([{"key": "k"}, ["content-length-range", 0, 1]], {}, (400, "EntityTooLarge")),
        ([{"key": "k"}, ["content-length-range", 512, 1000]], {}, (400, "EntityTooSmall")),
        ([{"key": "k"}, ["content-length-range", 0]], {}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}, {}], {}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}, {"content-md5": "x"}], {"content-md5": "x"}, (400, "InvalidDigest")),
        ([{"key": "k"}, ["starts-with", "$content-md5", ""]], {"content-md5": "A" * 22 + "=="}, (400, "BadDigest")),
        ([{"key": "k"}], {"x-amz-checksum-sha256": "sailorjerry"}, (400, "InvalidRequest")),
        ([{"key": "k"}], {"x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
        ([{"key": "k"}], {"x-amz-checksum-algorithm": "CRC32"}, (400, "InvalidRequest")),
        ([{"key": "k"}, ["starts-with", "$tagging", ""]], {"tagging": "not xml"}, (400, "MalformedXML")),
        (
            [{"key": "k"}, ["starts-with", "$x-amz-server-side-encryption", ""]],
            {"x-amz-server-side-encryption": "aws:kms"},
            (501, "NotImplemented"),
        ),
        ([["starts-with", "$key", ""]], {"key": ""}, (400, "InvalidArgument")),
        ([["starts-with", "$key", ""]], {"key": "x" * 1025}, (400, "KeyTooLongError")),
    ],
)
def test_what_is_refused_changes_nothing(
    server: Server, bucket: str, conditions: Sequence[object], fields: Fields, answer: tuple[int, str]
) -> None:
    form = signed_form(server, bucket, conditions, {"key": "k", **fields})
    reply = post(server, bucket, form)
    assert (reply.status, reply.code) == answer
    assert absent(server, bucket)


def test_a_policy_that_expired_or_is_for_another_bucket(server: Server, bucket: str) -> None:
    old = signed_form(server, bucket, [{"key": "k"}], {"key": "k"}, later_s=-5)
    assert b"Policy expired" in post(server, bucket, old).body
    other = signed_form(server, "elsewhere", [{"key": "k"}], {"key": "k", "bucket": "elsewhere"})
    assert post(server, bucket, other).code == "AccessDenied"
    assert absent(server, bucket)


def test_names_have_no_case(server: Server, bucket: str, s3: BaseClient) -> None:
    conditions = [["StArTs-WiTh", "$KeY", "fo"], {"AcL": "private"}, {"bUcKeT": bucket}]
    form = signed_form(server, bucket, conditions, {"kEy": "foo", "aCl": "private"})
    names = {"policy": "pOLICy", "signature": "Signature", "AWSAccessKeyId": "awsaccesskeyid"}
    assert post(server, bucket, {names.get(n, n): v for n, v in form.items()}).status == 204
    assert s3.get_object(Bucket=bucket, Key="foo")["Body"].read() == DATA


def test_a_file_without_a_name_leaves_the_variable(server: Server, bucket: str, s3: BaseClient) -> None:
    form = signed_form(server, bucket, [["starts-with", "$key", "k-"]], {"key": "k-${filename}"})
    assert post(server, bucket, form, DATA).status == 204
    assert post(server, bucket, form, ("", b"")).status == 204
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k-", "k-${filename}"]


def test_checksums_are_kept(server: Server, bucket: str, s3: BaseClient) -> None:
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    form = key_form(server, bucket, **{"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": digest})
    form = signed_form(server, bucket, [{"key": "k"}, {"x-amz-checksum-algorithm": "SHA256"}], form)
    reply = post(server, bucket, form)
    assert (reply.status, reply.headers["x-amz-checksum-sha256"]) == (204, digest)
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == digest


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_post_that_is_no_form(server: Server, bucket: str, kind: str) -> None:
    reply = server.request("POST", f"/{bucket}", body=b"a=b", headers={"Content-Type": kind}, sign=False)
    expected = (400, "MalformedPOSTRequest") if kind.startswith("multipart") else (412, "PreconditionFailed")
    assert (reply.status, reply.code) == expected


def test_a_form_for_a_bucket_that_is_not_there_or_not_writable(server: Server, bucket: str, s3: BaseClient) -> None:
    assert post(server, "nobucket", key_form(server, "nobucket")).code == "NoSuchBucket"
    commit = s3.put_object(Bucket=bucket, Key="x", Body=b"")["VersionId"]
    frozen = f"{commit}.{bucket}"
    assert post(server, frozen, key_form(server, frozen)).code == "AccessDenied"


def test_the_role_of_the_key_that_signed(server: Server, bucket: str) -> None:
    reader, secret = Keys(server.store).create(f"reader-{bucket}", role="reader")
    with closing(server.client(key=reader, secret=secret)) as client:
        fields = client.generate_presigned_post(bucket, "k")["fields"]
    assert post(server, bucket, fields).code == "AccessDenied"
    writer, secret = Keys(server.store).create(f"writer-{bucket}", role="writer", repos=[bucket])
    with closing(server.client(key=writer, secret=secret)) as client:
        fields = client.generate_presigned_post(bucket, "k")["fields"]
    assert post(server, bucket, fields).status == 204
    Keys(server.store).delete(writer.name)
    assert post(server, bucket, fields).code == "InvalidAccessKeyId"


def test_a_large_file_streams(server: Server, bucket: str, s3: BaseClient) -> None:
    """Chunked, in pieces that do not fit the boundary; the object is that of any other upload of the same bytes."""
    data = bytes(range(256)) * (5 << 12) + b"\r\n--end"
    form = key_form(server, bucket, ["content-length-range", 0, len(data)])
    body, kind = encode_multipart_formdata([*form.items(), ("file", ("f", data))])
    with closing(http.client.HTTPConnection(*server.address, timeout=60)) as connection:
        pieces = (body[at : at + 65_521] for at in range(0, len(body), 65_521))
        connection.request("POST", f"/{bucket}", pieces, {"Content-Type": kind}, encode_chunked=True)
        assert connection.getresponse().status == 204
    s3.put_object(Bucket=bucket, Key="put", Body=data)
    tree = server.store.repo(bucket).view("master").tree
    posted, put = tree.stat(b"k", want="file"), tree.stat(b"put", want="file")
    assert posted is not None
    assert put is not None
    assert posted.tid == put.tid


def test_a_form_that_is_cut_off_changes_nothing(server: Server, bucket: str) -> None:
    body, kind = encode_multipart_formdata([*key_form(server, bucket).items(), ("file", ("f", DATA))])
    for end in (10, len(body) // 2, len(body) - 3):
        reply = server.request("POST", f"/{bucket}", body=body[:end], headers={"Content-Type": kind}, sign=False)
        assert reply.status == 400
    assert absent(server, bucket)


def test_a_large_file_that_is_refused_gets_its_answer(server: Server, bucket: str) -> None:
    form = key_form(server, bucket, ["content-length-range", 0, 1000])
    reply = post(server, bucket, form, ("f", bytes(20 << 20)))
    assert (reply.status, reply.code) == (400, "EntityTooLarge")
    unsigned = post(server, bucket, {"key": "k"}, ("f", bytes(20 << 20)))
    assert (unsigned.status, unsigned.code) == (403, "AccessDenied")
    assert absent(server, bucket)


def test_a_content_type_of_any_characters(server: Server, bucket: str) -> None:
    reply = post(server, bucket, {"key": "k"}, headers={"Content-Type": "é\U0001f600".encode().decode("latin-1")})
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
