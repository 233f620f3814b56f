"""The aws-chunked framing: Amazon's own example, any split, and damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3api.auth.caller import ChunkSigning
from s3api.auth.sigv4 import signing_key
from s3api.bodies.aws_chunked import ChunkDecoder
from s3api.errors import S3Error

# From "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" in the S3 manual.
SIGNING = ChunkSigning(
    signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3"),
    "20130524/us-east-1/s3/aws4_request",
    "20130524T000000Z",
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
)
FIRST = b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
SECOND = b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
LAST = b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
EXAMPLE = b"".join(
    [
        b"10000;chunk-signature=" + FIRST + b"\r\n" + b"a" * 65536 + b"\r\n",
        b"400;chunk-signature=" + SECOND + b"\r\n" + b"a" * 1024 + b"\r\n",
        b"0;chunk-signature=" + LAST + b"\r\n\r\n",
    ]
)
# As boto3 sends it over TLS.
BOTO3 = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"


def decode(decoder: ChunkDecoder, *pieces: bytes) -> bytes:
    return b"".join(bytes(part) for piece in pieces for part in decoder.feed(piece))


def test_amazons_example() -> None:
    decoder = ChunkDecoder(SIGNING)
    assert decode(decoder, EXAMPLE) == b"a" * 66560
    assert decoder.finish() == {}


@pytest.mark.parametrize("at", [100, 66000, len(EXAMPLE) - 10])
def test_a_changed_byte_of_a_signed_body(at: int) -> None:
    damaged = bytearray(EXAMPLE)
    damaged[at] ^= 1
    with pytest.raises(S3Error):
        decode(ChunkDecoder(SIGNING), bytes(damaged))


def test_a_chunk_left_out() -> None:
    without = EXAMPLE.replace(b"400;chunk-signature=" + SECOND + b"\r\n" + b"a" * 1024 + b"\r\n", b"")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        decode(ChunkDecoder(SIGNING), without)


def test_a_trailer() -> None:
    decoder = ChunkDecoder()
    assert decode(decoder, BOTO3) == b"hello"
    assert decoder.finish() == {"x-amz-checksum-crc32": "NhCmhg=="}


@given(st.data(), st.sampled_from([BOTO3, b"0\r\n\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\na:b\r\nc: d\r\n\r\n"]))
def test_any_split_is_the_same(data: st.DataObject, framed: bytes) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(framed)), max_size=6)))
    whole, split = ChunkDecoder(), ChunkDecoder()
    pieces = [framed[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(framed)], strict=True)]
    assert decode(whole, framed) == decode(split, *pieces)
    assert whole.finish() == split.finish()


@pytest.mark.parametrize("stop", range(len(BOTO3) - 1))
def test_a_body_cut_short(stop: int) -> None:
    decoder = ChunkDecoder()
    decode(decoder, BOTO3[:stop])
    with pytest.raises(S3Error, match="IncompleteBody"):
        decoder.finish()


@pytest.mark.parametrize(
    "framed",
    [
        b"zz\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"f" * 2000,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n" + b"a:b\r\n" * 3000,
        b"fffffffffffffffff\r\n",
    ],
)
def test_broken_framing(framed: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        decode(ChunkDecoder(), framed)


def test_signed_chunks_must_be_signed() -> None:
    with pytest.raises(S3Error):
        decode(ChunkDecoder(SIGNING), b"5\r\nhello\r\n0\r\n\r\n")


@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_answer(framed: bytes) -> None:
    decoder = ChunkDecoder()
    try:
        decode(decoder, framed)
        decoder.finish()
    except S3Error as error:
        answer = error.status
    else:
        answer = 400
    assert answer == 400


@pytest.mark.parametrize("size", [b"0_5", b"+5", b"-5", b" 5", b"5 ", b"0x5", b"", b"5" * 17, b"\xd9\xa5"])
def test_a_size_is_hex_digits_and_nothing_else(size: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        decode(ChunkDecoder(), size + b"\r\nhello\r\n0\r\n\r\n")
    assert decode(ChunkDecoder(), b"0005\r\nhello\r\n0\r\n\r\n") == b"hello"


@pytest.mark.parametrize("pieces", [[BOTO3 + b"x"], [BOTO3, b"x"], [BOTO3 + BOTO3]])
def test_nothing_may_follow_the_end(pieces: list[bytes]) -> None:
    with pytest.raises(S3Error, match="goes on after the end"):
        decode(ChunkDecoder(), *pieces)
