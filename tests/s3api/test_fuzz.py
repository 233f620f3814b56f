"""Random signed requests: whatever is asked, the answer is one of S3's, and the server goes on."""

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3api.router import ROUTES
from tests.s3api.conftest import Server

VALUES = st.text(string.ascii_letters + string.digits + "-_.~", max_size=12) | st.sampled_from(
    ["2", "0", "url", "%2F", "-1"]
)
PATHS = {
    "service": st.just("/"),
    "bucket": st.sampled_from(["/b", "/b/", "/none", "/a.b.c"]),
    "object": st.sampled_from(["/b/k", "/b/k", "/b/a//%C3%A9%01", "/none/k", "/b/" + "x" * 1025]),
}


@st.composite
def targets(draw: st.DrawFn) -> tuple[str, str]:
    """A method and an address: of any operation, with some of its parameters, and now and then one too many."""
    (level, method), routes = draw(st.sampled_from(sorted(ROUTES.items())))
    route = draw(st.sampled_from(routes))
    names = [*sorted(route.needs), *draw(st.lists(st.sampled_from(sorted(route.takes) or ["x-id"]), unique=True))]
    names += draw(st.sampled_from([[]] * 9 + [["policy"]]))
    query = "&".join(sorted(f"{name}={draw(VALUES)}" for name in set(names)))
    path = draw(PATHS[level])
    return method, f"{path}?{query}" if query else path


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Range",
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "Content-Type",
            "Content-MD5",
            "Content-Encoding",
            "x-amz-copy-source",
            "x-amz-meta-a",
            "x-amz-checksum-crc32",
            "x-amz-checksum-algorithm",
            "x-amz-trailer",
            "x-amz-decoded-content-length",
            "x-amz-metadata-directive",
            "x-amz-copy-source-range",
            "x-amz-acl",
            "x-amz-checksum-mode",
            "Origin",
            "Access-Control-Request-Method",
            "x-amz-tagging",
            "x-amz-tagging-directive",
            "x-amz-if-match-size",
            "x-amz-if-match-last-modified-time",
        ]
    ),
    st.sampled_from(
        ["", "*", "bytes=0-3", "bytes=-1", "b/k", "/b/k?versionId=1", "aws-chunked", "CRC32", "REPLACE", "5", "é"]
    ),
    max_size=3,
)
BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"<Delete><Object><Key>k</Key></Object></Delete>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
        b"<a><b>",
        b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
        b"</CORSConfiguration>",
        b"<Tagging><TagSet><Tag><Key>k</Key><Value/></Tag></TagSet></Tagging>",
    ]
)
PAYLOADS = st.sampled_from(
    ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(targets(), HEADERS, BODIES, PAYLOADS)
def test_every_request_is_answered(
    server: Server, target: tuple[str, str], headers: dict[str, str], body: bytes, payload: str
) -> None:
    server.store.create_repo("b", exist_ok=True)
    method, path = target
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    reply = server.request(method, path, body=body, headers=sent, payload=payload)
    assert reply.status < 500 or reply.status == 501
    assert b"Traceback" not in reply.body
    if reply.status >= 400 and method != "HEAD":
        assert reply.code


def test_the_server_goes_on(server: Server) -> None:
    assert server.request("GET", "/").status == 200
