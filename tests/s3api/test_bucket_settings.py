"""Tags and CORS rules of buckets: kept with the branch, without a commit; and what they are refused for."""

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pfs.keys import Keys
from tests.s3api.conftest import Server

RULE = {"AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"]}
FULL = {
    "ID": "one",
    "AllowedOrigins": ["https://*.example", "http://localhost:4200"],
    "AllowedMethods": ["GET", "PUT", "HEAD", "POST", "DELETE"],
    "AllowedHeaders": ["x-amz-*", "Content-Type"],
    "ExposeHeaders": ["ETag", "x-amz-version-id"],
    "MaxAgeSeconds": 3000,
}


def tag_set(tags: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def no_tags(s3: BaseClient, bucket: str) -> bool:
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_tagging(Bucket=bucket)
    return refusal(refused) == (404, "NoSuchTagSet")


def no_cors(s3: BaseClient, bucket: str) -> bool:
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_cors(Bucket=bucket)
    return refusal(refused) == (404, "NoSuchCORSConfiguration")


def test_tags_of_a_bucket(s3: BaseClient, bucket: str) -> None:
    assert no_tags(s3, bucket)
    put = s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"tag1": "é", "tag2": ""}))
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set({"tag1": "é", "tag2": ""})["TagSet"]
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"tag3": "3"}))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set({"tag3": "3"})["TagSet"]
    for _ in range(2):
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert no_tags(s3, bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"tag3": "3"}))
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({}))
    assert no_tags(s3, bucket)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("k", "1"), ("k", "2")], "InvalidTag"),
        ([("aws:k", "1")], "InvalidTag"),
        ([("k,", "1")], "InvalidTag"),
        ([("k", "x" * 257)], "InvalidTag"),
        ([(f"k{number}", "") for number in range(51)], "BadRequest"),
    ],
)
def test_tags_that_are_refused(s3: BaseClient, bucket: str, tags: list[tuple[str, str]], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": text} for key, text in tags]})
    assert refusal(refused) == (400, code)
    assert no_tags(s3, bucket)


def test_the_largest_tags_fit(s3: BaseClient, bucket: str) -> None:
    tags = {f"{number:02d}" + "\U00020000" * 126: "\U00020000" * 256 for number in range(50)}
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(tags))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(tags)["TagSet"]


def test_rules_of_a_bucket(s3: BaseClient, bucket: str) -> None:
    assert no_cors(s3, bucket)
    for rules in ([RULE], [FULL, RULE]):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
        assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    for _ in range(2):
        assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert no_cors(s3, bucket)


def test_settings_are_no_commit(s3: BaseClient, bucket: str, server: Server) -> None:
    head = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"a": "1"}))
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULE]})
    assert server.store.repo(bucket).branch("master").head == head
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == head


def test_each_branch_has_its_own(s3: BaseClient, bucket: str, server: Server) -> None:
    server.store.repo(bucket).create_branch("dev")
    s3.put_bucket_tagging(Bucket=f"dev.{bucket}", Tagging=tag_set({"a": "1"}))
    assert no_tags(s3, bucket)
    assert s3.get_bucket_tagging(Bucket=f"dev.{bucket}")["TagSet"] == tag_set({"a": "1"})["TagSet"]


def test_a_branch_that_is_not_there_yet_gets_made(s3: BaseClient, server: Server) -> None:
    name = server.store.create_repo("no-master").name
    s3.delete_bucket_tagging(Bucket=name)
    assert server.store.repo(name).branches() == []
    s3.put_bucket_tagging(Bucket=name, Tagging=tag_set({"a": "1"}))
    assert [branch.name for branch in server.store.repo(name).branches()] == ["master"]
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_tagging(Bucket=f"other.{name}", Tagging=tag_set({"a": "1"}))
    assert refusal(refused) == (404, "NoSuchBucket")


def test_a_new_bucket_of_the_name_has_none(s3: BaseClient) -> None:
    s3.create_bucket(Bucket="again")
    s3.put_bucket_tagging(Bucket="again", Tagging=tag_set({"a": "1"}))
    s3.delete_bucket(Bucket="again")
    s3.create_bucket(Bucket="again")
    assert no_tags(s3, "again")


def test_a_commit_has_none_and_takes_none(s3: BaseClient, bucket: str) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"a": "1"}))
    commit = f"{s3.put_object(Bucket=bucket, Key='k', Body=b'1')['VersionId']}.{bucket}"
    assert no_tags(s3, commit)
    assert no_cors(s3, commit)
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_tagging(Bucket=commit, Tagging=tag_set({"a": "1"}))
    assert refusal(refused) == (403, "AccessDenied")


@pytest.mark.parametrize("sub", ["tagging", "cors"])
def test_a_bucket_that_is_not_there_has_none(server: Server, sub: str) -> None:
    rules = "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
    body = {"tagging": "<Tagging><TagSet/></Tagging>", "cors": f"<CORSConfiguration>{rules}</CORSConfiguration>"}[sub]
    for method in ("GET", "PUT", "DELETE"):
        reply = server.request(method, f"/no-such-bucket?{sub}", body=body.encode() if method == "PUT" else b"")
        assert (reply.status, reply.code) == (404, "NoSuchBucket")


def test_only_an_owner_sets_them(server: Server, bucket: str) -> None:
    key, secret = Keys(server.store).create(f"writer-{bucket}", role="writer")
    with_key = server.client(key=key, secret=secret)
    try:
        with pytest.raises(ClientError) as refused:
            with_key.put_bucket_tagging(Bucket=bucket, Tagging=tag_set({"a": "1"}))
        assert refusal(refused) == (403, "AccessDenied")
        assert no_tags(with_key, bucket)
    finally:
        with_key.close()


def rule(**change: str) -> str:
    parts = {"o": "<AllowedOrigin>*</AllowedOrigin>", "m": "<AllowedMethod>GET</AllowedMethod>"} | change
    return f"<CORSRule>{''.join(parts.values())}</CORSRule>"


@pytest.mark.parametrize(
    ("rules", "code", "words"),
    [
        ("", "MalformedXML", ""),
        ("<Rule/>", "MalformedXML", ""),
        (rule(o=""), "MalformedXML", ""),
        (rule(m=""), "MalformedXML", ""),
        (rule(x="<Other/>"), "MalformedXML", ""),
        (rule(x="<MaxAgeSeconds>soon</MaxAgeSeconds>"), "MalformedXML", ""),
        (rule(x="<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>1</MaxAgeSeconds>"), "MalformedXML", ""),
        (rule(m="<AllowedMethod>PATCH</AllowedMethod>"), "InvalidRequest", "Unsupported method is PATCH"),
        (rule(m="<AllowedMethod>get</AllowedMethod>"), "InvalidRequest", "Unsupported method is get"),
        (rule(o="<AllowedOrigin>http://*.*</AllowedOrigin>"), "InvalidRequest", "more than one wildcard"),
        (rule(x="<AllowedHeader>*a*</AllowedHeader>"), "InvalidRequest", "more than one wildcard"),
        (rule(x="<ExposeHeader>*</ExposeHeader>"), "InvalidRequest", "wildcard"),
        (rule(x="<ExposeHeader>a b</ExposeHeader>"), "InvalidRequest", "invalid character"),
        (rule(x=f"<ID>{'x' * 256}</ID>"), "InvalidRequest", "255"),
        (rule(x="<ID>x</ID>") * 2, "InvalidRequest", "ID"),
        (rule() * 101, "InvalidRequest", "100 rules"),
    ],
)
def test_rules_that_are_refused(server: Server, bucket: str, rules: str, code: str, words: str) -> None:
    body = f"<CORSConfiguration>{rules}</CORSConfiguration>".encode()
    reply = server.request("PUT", f"/{bucket}?cors", body=body)
    assert (reply.status, reply.code) == (400, code)
    assert words.encode() in reply.body
    assert server.request("GET", f"/{bucket}?cors").code == "NoSuchCORSConfiguration"


def test_an_origin_may_be_empty_as_on_s3(s3: BaseClient, bucket: str) -> None:
    rules = [{"AllowedOrigins": [""], "AllowedMethods": ["GET"]}]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules


def test_a_configuration_that_is_too_long_is_refused(server: Server, bucket: str) -> None:
    origin = f"<AllowedOrigin>{'x' * (64 << 10)}</AllowedOrigin>"
    reply = server.request("PUT", f"/{bucket}?cors", body=f"<CORSConfiguration>{rule(o=origin)}".encode())
    assert reply.status == 400
