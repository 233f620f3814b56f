"""Posted forms, decoded: forms that urllib3 writes, fed in any pieces, and what no client should write."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from s3api.bodies.form import MAX_FIELDS_BYTES, FormDecoder, form_boundary
from s3api.errors import S3Error

BOUNDARY = "b0undary"
Field = tuple[str, object]


def written(*fields: Field) -> bytes:
    body, _ = encode_multipart_formdata(fields, boundary=BOUNDARY)
    return body


def decoded(pieces: Sequence[bytes], least: int = 0, most: float = float("inf")) -> tuple[FormDecoder, bytes]:
    """Return the decoder and the file, as the operation goes through a form."""
    form, rest, begun = FormDecoder(BOUNDARY.encode()), list(pieces), False
    while rest and not begun:
        begun = form.read_fields(rest.pop(0))
    form.limit(least, most)
    data = b"".join(bytes(view) for piece in [b"", *rest] for view in form.feed(piece))
    form.finish()
    return form, data


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


FILES = st.lists(
    st.sampled_from([b"\r\n", b"--", b"\r\n--b0undar", b"--b0undary", b"\r", b"\n", b"x" * 50, b"\0\xff", b"\r\n--"]),
    max_size=12,
).map(b"".join)


@given(FILES, st.lists(st.integers(0, 2_000), max_size=20), st.booleans())
def test_any_file_in_any_pieces(data: bytes, cuts: list[int], named: bool) -> None:
    if b"\r\n--b0undary" in b"\r\n" + data:  # a client would have chosen another boundary
        data = data.replace(b"b0undary", b"b1undary")
    file = ("a.txt", data, "text/plain") if named else data
    body = written(("key", "k/${filename}"), ("Content-Type", "é"), ("file", file), ("submit", "Send"))
    form, got = decoded(split(body, cuts))
    assert got == data
    assert form.fields == {"key": "k/a.txt" if named else "k/${filename}", "content-type": "é"}
    assert form.size == len(data)


@given(FILES)
def test_a_form_byte_by_byte(data: bytes) -> None:
    data = data.replace(b"b0undary", b"b1undary")
    body = written(("key", "k"), ("file", ("f", data)))
    form, got = decoded([body[at : at + 1] for at in range(len(body))])
    assert (got, form.fields) == (data, {"key": "k"})


@pytest.mark.parametrize(
    ("name", "base"),
    [("a.txt", "a.txt"), ("C:\\x\\y.txt", "y.txt"), ("/home/me/z", "z"), ("é.png", "é.png"), ("dir/", ""), ("", "")],
)
def test_names_of_files(name: str, base: str) -> None:
    form, _ = decoded([written(("key", "k/${filename}"), ("x-amz-meta-n", "${filename}"), ("file", (name, b"")))])
    assert form.fields == {"key": f"k/{base}", "x-amz-meta-n": base}


def code_of(pieces: Sequence[bytes], least: int = 0, most: float = float("inf")) -> str:
    with pytest.raises(S3Error) as caught:
        decoded(pieces, least, most)
    assert caught.value.status == 400
    return caught.value.code


def test_a_field_comes_once_and_names_have_no_case() -> None:
    form, _ = decoded([written(("X-Amz-Meta-A", "1"), ("KEY", "k"), ("FILE", ("f", b"")))])
    assert form.fields == {"x-amz-meta-a": "1", "key": "k"}
    for first, second in [("key", "key"), ("key", "KEY"), ("policy", "Policy"), ("x-amz-meta-a", "x-amz-meta-a")]:
        assert code_of([written((first, "1"), (second, "1"), ("file", ("f", b"")))]) == "InvalidArgument"
    decoded([written(("x-ignore-a", "1"), ("x-ignore-a", "2"), ("file", ("f", b"")))])


def test_what_comes_behind_the_file_is_passed_over_but_for_a_second_file() -> None:
    form, data = decoded([written(("file", ("f", b"data")), ("key", "k"), ("x", "y" * 100_000))])
    assert (dict(form.fields), data) == ({}, b"data")
    assert code_of([written(("file", ("f", b"1")), ("file", ("f", b"2")))]) == "InvalidArgument"


def test_the_file_is_the_field_named_so() -> None:
    assert code_of([written(("key", "k"), ("upload", ("f", b"1")))]) == "InvalidArgument"
    form, data = decoded([written(("key", ("key", "k")), ("file", ("file", b"1")))])
    assert (dict(form.fields), data) == ({"key": "k"}, b"1")


def test_how_much_may_come_before_the_file() -> None:
    fits = [("key", "k"), ("x", "y" * (MAX_FIELDS_BYTES - 500)), ("file", ("f", b"1" * 100_000))]
    assert len(decoded([written(*fits)])[1]) == 100_000
    for many in (
        [("x", "y" * MAX_FIELDS_BYTES)],
        [(f"x{i}", "") for i in range(1_000)],
        [(f"x{i}", ("n" * 4_000, "")) for i in range(6)],
    ):
        body = written(*many, ("file", ("f", b"")))
        for pieces in ([body], split(body, range(0, len(body), 97))):
            assert code_of(pieces) == "MaxPostPreDataLengthExceeded"


def test_sizes_are_checked_while_the_file_comes() -> None:
    body = written(("key", "k"), ("file", ("f", b"12345")))
    for least, most in ((5, 5), (0, 10), (0, float("inf"))):
        assert decoded([body], least, most)[1] == b"12345"
    assert code_of([body], 6, 10) == "EntityTooSmall"
    assert code_of([body], 0, 4) == "EntityTooLarge"
    long = written(("key", "k"), ("file", ("f", b"x" * 1000)))
    form = FormDecoder(BOUNDARY.encode())
    form.read_fields(long[:200])
    form.limit(0, 300)
    with pytest.raises(S3Error) as caught:
        form.feed(long[200:600])
    assert caught.value.fields["MaxSizeAllowed"] == "300"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--other\r\n\r\n",
        b"--b0undary\r\n\r\ndata\r\n--b0undary--\r\n",
        b"--b0undary\r\nContent-Disposition: form-data\r\n\r\ndata\r\n--b0undary--\r\n",
        b"--b0undary\r\nBad Header: x\r\n\r\ndata\r\n--b0undary--\r\n",
        b"--b0undary\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"--b0undary\r\n" + b"X: x\r\n" * 100 + b"\r\n",
        written(("key", "k"), ("file", ("f", b"data")))[:-20],
        written(("key", "k"), ("file", ("f", b"data"))).replace(b"\r\n", b"\n"),
    ],
)
def test_forms_that_are_none(body: bytes) -> None:
    assert code_of([body]) == "MalformedPOSTRequest"
    assert code_of(split(body, range(0, len(body), 3))) == "MalformedPOSTRequest"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.integers(0, 300))
def test_garbage_is_refused_and_nothing_else_happens(noise: bytes, cuts: list[int], at: int) -> None:
    good = written(("key", "k"), ("file", ("f", b"data")))
    for body in (noise, good[:at] + noise + good[at:]):
        found = {400}
        try:
            decoded(split(body, cuts))
        except S3Error as error:
            found.add(error.status)
        assert found == {400}


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=----WebKitFormBoundaryX", b"----WebKitFormBoundaryX"),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    assert form_boundary(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "PreconditionFailed"),
        ("text/html", "PreconditionFailed"),
        ("application/x-www-form-urlencoded", "PreconditionFailed"),
        ("multipart/mixed; boundary=a", "PreconditionFailed"),
        ("multipart/form-data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=", "MalformedPOSTRequest"),
        (f"multipart/form-data; boundary={'x' * 300}", "MalformedPOSTRequest"),
    ],
)
def test_types_that_are_no_form(content_type: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        form_boundary(content_type)
    assert caught.value.code == code
