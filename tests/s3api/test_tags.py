"""Tags of objects: the rules as pure functions, then over boto3 and plain HTTP."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from s3api.errors import S3Error
from s3api.objects.tags import BUCKET, OBJECT, check_tags, parse_tag_header, parse_tagging, tagging_xml
from tests.s3api.conftest import Server

Pairs = list[tuple[str, str]]
CHARS = st.characters(exclude_categories=("Cs",), exclude_characters="\x00")
GOOD = st.text(st.sampled_from("aZ9é日٣ +-=._:/@\u2003"), max_size=130)
PAIRS = st.lists(st.tuples(GOOD | st.text(CHARS, max_size=4), GOOD | st.text(CHARS, max_size=4)), max_size=12)


def tagging(pairs: Pairs) -> bytes:
    tags = "".join(f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>" for key, value in pairs)
    return f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()


def tag_set(tags: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


# the rules


def model(pairs: Pairs) -> str | dict[str, str]:
    """What S3 says of tags, told the long way."""

    def fine(text: str) -> bool:
        return all(c in "+-=._:/@" or unicodedata.category(c) in ALLOWED for c in text)

    keys = [key for key, _ in pairs]
    for number, (key, value) in enumerate(pairs):
        if key in keys[:number] or not key or len(key) > 128 or len(value) > 256 or not fine(key + value):
            return "InvalidTag"
        if key[:4] == "aws:":
            return "InvalidTag"
    return "BadRequest" if len(pairs) > 10 else dict(sorted(pairs))


ALLOWED = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Zs", "Zl", "Zp"}


def outcome(pairs: Pairs) -> str | dict[str, str]:
    try:
        return check_tags(pairs, OBJECT)
    except S3Error as error:
        return error.code


@given(PAIRS)
def test_tags_are_checked_as_the_model_says(pairs: Pairs) -> None:
    assert outcome(pairs) == model(pairs)


@given(st.dictionaries(GOOD.filter(bool).map(lambda key: key[:128]), GOOD, max_size=10), st.booleans())
def test_a_header_gives_back_what_was_encoded_into_it(tags: dict[str, str], plus: bool) -> None:
    encode = quote_plus if plus else quote
    header = "&".join(f"{encode(key, safe='')}={encode(value, safe='')}" for key, value in tags.items())
    assert parse_tag_header(header) == tags


@given(st.text(st.sampled_from("a1&=%+,4é ")))
def test_any_header_gives_tags_or_an_error_of_s3(header: str) -> None:
    try:
        found = parse_tag_header(header)
    except S3Error as error:
        code = error.code
    else:
        code = ""
        assert model(list(found.items())) == found
    assert code in {"", "InvalidArgument", "InvalidTag", "BadRequest"}


@given(st.dictionaries(GOOD.filter(bool).map(lambda key: key[:128]), GOOD, max_size=10))
def test_a_document_gives_back_what_was_written_into_it(tags: dict[str, str]) -> None:
    assert parse_tagging(tagging_xml(tags), OBJECT) == tags


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", {}),
        ("a&b", {"a": "", "b": ""}),
        ("a&&&b=", {"a": "", "b": ""}),
        ("a+b=c%20d", {"a b": "c d"}),
        ("%C3%A9=%2B", {"é": "+"}),
        ("b=1&a=2", {"a": "2", "b": "1"}),
    ],
)
def test_headers(header: str, tags: dict[str, str]) -> None:
    found = parse_tag_header(header)
    assert found == tags
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("a=1,b=2", "InvalidArgument"),
        ("a=%C3", "InvalidArgument"),
        ("a=%zz", "InvalidArgument"),
        ("=1", "InvalidTag"),
        ("a=1,2", "InvalidTag"),
        ("aws:a=1", "InvalidTag"),
        ("a" * 129, "InvalidTag"),
        ("&".join(f"k{number}" for number in range(11)), "BadRequest"),
    ],
)
def test_headers_that_are_refused(header: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        parse_tag_header(header)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        b"<Tagging/>",
        b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Other/></TagSet></Tagging>",
        b"<TagSet/>",
        b"no xml",
        b"",
    ],
)
def test_documents_that_are_malformed(body: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_tagging(body, OBJECT)


def test_a_bucket_takes_fifty() -> None:
    fifty = [(f"k{number}", "") for number in range(50)]
    assert len(parse_tagging(tagging(fifty), BUCKET)) == 50
    with pytest.raises(S3Error, match="BadRequest"):
        parse_tagging(tagging([*fifty, ("one", "more")]), BUCKET)


# over boto3


def test_tags_are_set_read_replaced_and_taken_away(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set({"tag2": "", "tag1": "one"}))
    found = s3.get_object_tagging(Bucket=bucket, Key="k")
    assert found["TagSet"] == tag_set({"tag1": "one", "tag2": ""})["TagSet"]
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set({"tag3": "é"}))
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tag_set({"tag3": "é"})["TagSet"]
    reply = s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "TagCount" not in s3.get_object(Bucket=bucket, Key="k")


def test_tagging_is_a_version_and_changes_nothing_else(s3: BaseClient, bucket: str, server: Server) -> None:
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=b"hello", ContentType="text/x", Metadata={"a": "b"}, ChecksumAlgorithm="SHA256"
    )
    before = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    tagged = s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set({"t": "1"}))
    after = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    for name in ("ETag", "ContentType", "Metadata", "ContentLength", "ChecksumSHA256"):
        assert after[name] == before[name]
    assert tagged["VersionId"] == after["VersionId"] != put["VersionId"]
    assert server.store.repo(bucket).inspect(tagged["VersionId"]).parents == (put["VersionId"],)
    old = s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=put["VersionId"])
    assert (old["TagSet"], old["VersionId"]) == ([], put["VersionId"])
    new = s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=tagged["VersionId"])
    assert new["TagSet"] == tag_set({"t": "1"})["TagSet"]


def test_the_same_tags_again_are_no_commit(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1&b=2")
    first = s3.head_object(Bucket=bucket, Key="k")["VersionId"]
    again = s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set({"b": "2", "a": "1"}))
    assert again["VersionId"] == first == s3.head_object(Bucket=bucket, Key="k")["VersionId"]
    s3.put_object(Bucket=bucket, Key="plain", Body=b"1")
    plain = s3.head_object(Bucket=bucket, Key="plain")["VersionId"]
    assert s3.delete_object_tagging(Bucket=bucket, Key="plain")["VersionId"] == plain


@pytest.mark.parametrize("key", ["dir/", "a//b", "../x", "é/日本", "a", "a/b", "x" * 1024])
def test_any_key_is_tagged(s3: BaseClient, bucket: str, key: str) -> None:
    for other in ("a", "a/b", key):
        s3.put_object(Bucket=bucket, Key=other, Body=b"1" * (other == key))
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging=tag_set({"a": "1"}))
    found = {other: s3.get_object_tagging(Bucket=bucket, Key=other)["TagSet"] for other in ("a", "a/b", key)}
    assert {other for other, tags in found.items() if tags} == {key}
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"


def test_only_the_present_version_is_tagged(s3: BaseClient, bucket: str) -> None:
    old, new = (s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"] for _ in range(2))
    for change in (
        lambda: s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=old, Tagging=tag_set({"a": "1"})),
        lambda: s3.delete_object_tagging(Bucket=bucket, Key="k", VersionId=old),
    ):
        with pytest.raises(ClientError) as refused:
            change()
        assert code_of(refused) == (403, "AccessDenied")
    newest = s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=new, Tagging=tag_set({"a": "1"}))["VersionId"]
    assert s3.delete_object_tagging(Bucket=bucket, Key="k", VersionId=newest)["VersionId"] != newest
    with pytest.raises(ClientError) as refused:
        s3.put_object_tagging(Bucket=bucket, Key="k", VersionId="0" * 32, Tagging=tag_set({}))
    assert code_of(refused) == (404, "NoSuchVersion")


def test_writes_bring_their_tags(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="put", Body=b"1", Tagging="a=1&b")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", Tagging="Hello=World&foo=bar")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert s3.get_object_tagging(Bucket=bucket, Key="put")["TagSet"] == tag_set({"a": "1", "b": ""})["TagSet"]
    found = s3.get_object_tagging(Bucket=bucket, Key="parts")["TagSet"]
    assert found == tag_set({"Hello": "World", "foo": "bar"})["TagSet"]
    s3.put_object(Bucket=bucket, Key="put", Body=b"2")
    assert s3.get_object_tagging(Bucket=bucket, Key="put")["TagSet"] == []


@pytest.mark.parametrize(
    ("options", "tags"),
    [
        ({}, {"a": "1"}),
        ({"Tagging": "b=2"}, {"a": "1"}),
        ({"TaggingDirective": "REPLACE", "Tagging": "b=2"}, {"b": "2"}),
        ({"TaggingDirective": "REPLACE"}, {}),
        ({"MetadataDirective": "REPLACE", "Metadata": {"m": "2"}}, {"a": "1"}),
        ({"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE", "Tagging": "b=2"}, {"b": "2"}),
    ],
)
def test_a_copy_takes_tags_along_unless_told_otherwise(
    s3: BaseClient, bucket: str, options: dict[str, object], tags: dict[str, str]
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1", Metadata={"m": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k", **options)
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == tag_set(tags)["TagSet"]
    replaced = options.get("MetadataDirective") == "REPLACE"
    metadata = {} if replaced and "Metadata" not in options else {"m": "2" if replaced else "1"}
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == metadata


def test_a_directive_that_is_none_is_refused(server: Server, bucket: str) -> None:
    headers = {"x-amz-copy-source": f"{bucket}/k", "x-amz-tagging-directive": "MOVE"}
    reply = server.request("PUT", f"/{bucket}/copy", headers=headers)
    assert (reply.status, reply.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_not_there_has_no_tags(server: Server, bucket: str, method: str) -> None:
    body = tagging([("a", "1")])
    reply = server.request(method, f"/{bucket}/none?tagging", body=body if method == "PUT" else b"")
    assert (reply.status, reply.code) == (404, "NoSuchKey")
    reply = server.request(method, "/no-such-bucket/k?tagging", body=body if method == "PUT" else b"")
    assert (reply.status, reply.code) == (404, "NoSuchBucket")


def test_a_commit_keeps_its_tags(s3: BaseClient, bucket: str) -> None:
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1")["VersionId"]
    commit = f"{version}.{bucket}"
    assert s3.get_object_tagging(Bucket=commit, Key="k")["TagSet"] == tag_set({"a": "1"})["TagSet"]
    with pytest.raises(ClientError) as refused:
        s3.delete_object_tagging(Bucket=commit, Key="k")
    assert code_of(refused) == (403, "AccessDenied")


def test_a_file_that_came_in_another_way_is_tagged(s3: BaseClient, bucket: str, server: Server) -> None:
    with server.store.repo(bucket).commit("master") as commit:
        commit.put_file("/a.png", b"no picture")
    before = s3.head_object(Bucket=bucket, Key="a.png")
    s3.put_object_tagging(Bucket=bucket, Key="a.png", Tagging=tag_set({"a": "1"}))
    after = s3.head_object(Bucket=bucket, Key="a.png")
    assert (after["ETag"], after["ContentType"]) == (before["ETag"], before["ContentType"])
    assert s3.get_object_tagging(Bucket=bucket, Key="a.png")["TagSet"] == tag_set({"a": "1"})["TagSet"]


def test_an_open_commit_takes_tags_into_it(s3: BaseClient, bucket: str, server: Server) -> None:
    head = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    opened = server.store.repo(bucket).start_commit("master")
    assert s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set({"a": "1"}))["VersionId"] == opened.id
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tag_set({"a": "1"})["TagSet"]
    assert server.store.repo(bucket).branch("master").head == head


def test_tagging_never_brings_old_bytes_back(server: Server, bucket: str) -> None:
    """A write that comes between reading a row and tagging it stays: the tags go onto the row that is there."""
    path = f"/{bucket}/k"
    server.request("PUT", path, body=b"0")

    def write(number: int) -> None:
        assert server.request("PUT", path, body=str(number).encode()).status == 200

    def tag(number: int) -> None:
        assert server.request("PUT", f"{path}?tagging", body=tagging([("n", str(number))])).status == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (write if number % 2 else tag)(number), range(24)))
    repo = server.store.repo(bucket)
    bodies, tags = list[bytes](), list[dict[str, str]]()
    for info in reversed(list(repo.commits("master"))):
        row = repo.view(info.id).tree.stat(b"k", want="file")
        assert row is not None
        bodies.append(repo.view(info.id).read("/k"))
        tags.append((row.aux or {}).get("g", {}))
    for before, after, tagged in zip(bodies, bodies[1:], tags[1:], strict=False):
        assert (before == after) == bool(tagged)  # only a write changes the bytes, and it takes the tags away
    assert len(set(bodies)) == 13
