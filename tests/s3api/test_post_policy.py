"""The policy of a posted form: its language, against a model that knows nothing of JSON or base64."""

import base64
import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3api.auth.policy import Policy, parse_policy
from s3api.errors import S3Error

LATER = "2030-01-01T00:00:00Z"
NOW_S = 1_700_000_000.0


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def policy_of(*conditions: object, expiration: object = LATER) -> Policy:
    return parse_policy(encoded({"expiration": expiration, "conditions": list(conditions)}))


def refusal(policy: Policy, fields: Mapping[str, str], now_s: float = NOW_S) -> str:
    """Return why a form is refused, empty when it is not."""
    found: S3Error | None = None
    try:
        policy.check(fields, now_s=now_s)
    except S3Error as error:
        found = error
    assert found is None or (found.code, found.status) == ("AccessDenied", 403)
    return found.message.removeprefix("Invalid according to Policy: ") if found else ""


@pytest.mark.parametrize(
    ("condition", "field", "good", "bad"),
    [
        ({"acl": "private"}, "acl", ["private"], ["public-read", "Private", "private ", ""]),
        ({"AcL": "private"}, "acl", ["private"], ["x"]),
        (["eq", "$key", "a"], "key", ["a"], ["b", "A", "ab", ""]),
        (["EQ", "$KeY", "a"], "key", ["a"], ["b"]),
        (["starts-with", "$key", "a/"], "key", ["a/", "a/b"], ["a", "b/a/", "A/"]),
        (["StArTs-WiTh", "$key", ""], "key", ["", "x"], []),
        (["eq", "$x-amz-meta-a", ""], "x-amz-meta-a", [""], ["x"]),
        (
            ["starts-with", "$Content-Type", "image/"],
            "content-type",
            ["image/a", "image/a,image/b"],
            ["image/a,text/b"],
        ),
        (["starts-with", "$x-amz-meta-a", "i"], "x-amz-meta-a", ["i,x"], ["x,i"]),
        (["starts-with", "$key", "\\$foo"], "key", ["\\$foo.txt"], ["$foo.txt"]),
        ({"key": "é\n\"'"}, "key", ["é\n\"'"], ["e"]),
    ],
)
def test_conditions(condition: object, field: str, good: Sequence[str], bad: Sequence[str]) -> None:
    policy = policy_of(condition)
    for value in good:
        assert refusal(policy, {field: value}) == ""
    for value in bad:
        assert refusal(policy, {field: value}).startswith("Policy Condition failed: [")
    assert refusal(policy, {}).startswith("Policy Condition failed: [")


def test_how_a_failed_condition_is_shown() -> None:
    assert refusal(policy_of({"key": 'a"é'}), {"key": "b"}) == 'Policy Condition failed: ["eq", "$key", "a\\"é"]'
    assert refusal(policy_of(["eq", "key", "b"]), {"key": "b"}) == 'Policy Condition failed: ["eq", "key", "b"]'
    shown = 'Policy Condition failed: ["content-length-range", "x", "10"]'
    assert refusal(policy_of(["content-length-range", "x", "10"]), {}) == shown


def test_every_field_needs_a_condition() -> None:
    fields = {"key": "k", "x-ignore-a": "", "policy": "", "x-amz-signature": "", "signature": "", "awsaccesskeyid": ""}
    policy = policy_of({"key": "k"})
    assert refusal(policy, {**fields, "x-amz-checksum-crc32": "x"}) == ""
    assert refusal(policy, {**fields, "zeta": "1", "alpha": "1"}) == "Extra input fields: alpha, zeta"
    for name in ("x-amz-meta-a", "content-type", "bucket", "x-amz-date", "x-amz-algorithm", "x-amz-credential"):
        assert refusal(policy, {**fields, name: "1"}) == f"Extra input fields: {name}"


@pytest.mark.parametrize(
    ("text", "end_s"),
    [("2023-11-14T22:13:20Z", NOW_S), ("2023-11-14T22:13:20.000Z", NOW_S), ("2023-11-14T22:13:20.5Z", NOW_S + 0.5)],
)
def test_a_policy_holds_up_to_its_expiration(text: str, end_s: float) -> None:
    policy = policy_of({"key": "k"}, expiration=text)
    assert refusal(policy, {"key": "k"}, end_s) == ""
    assert refusal(policy, {"key": "k"}, end_s + 0.25) == "Policy expired."
    assert refusal(policy, {"key": "other"}, end_s + 0.25) == "Policy expired."


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        1,
        None,
        {"conditions": []},
        {"expiration": LATER},
        {"EXPIRATION": LATER, "conditions": []},
        {"expiration": LATER, "CONDITIONS": []},
        {"expiration": LATER, "conditions": [], "Statement": []},
        {"expiration": LATER, "conditions": {}},
        *({"expiration": bad, "conditions": []} for bad in (None, 1, "", "2030-01-01", "2030-01-01 00:00:00Z")),
        *({"expiration": bad, "conditions": []} for bad in ("2030-13-01T00:00:00Z", "2030-01-01T00:00:00+02:00")),
        {"expiration": "\u0662030-01-01T00:00:00Z", "conditions": []},
        *({"expiration": LATER, "conditions": [bad]} for bad in ({}, [], "x", 1, None, {"a": 1}, {"a": None})),
        {"expiration": LATER, "conditions": [{"a": "1", "b": "2"}]},
        {"expiration": LATER, "conditions": [["eq", "$key"]]},
        {"expiration": LATER, "conditions": [["eq", "$key", "a", "b"]]},
        {"expiration": LATER, "conditions": [["eq", "$key", 1]]},
        {"expiration": LATER, "conditions": [["eq", 1, "1"]]},
        {"expiration": LATER, "conditions": [["ends-with", "$key", "a"]]},
        {"expiration": LATER, "conditions": [[1, "$key", "a"]]},
        *({"expiration": LATER, "conditions": [["content-length-range", *bad]]} for bad in ([0], [-1, 0], [0, 1, 2])),
        *({"expiration": LATER, "conditions": [["content-length-range", *bad]]} for bad in ([0, 1.5], [True, 2])),
        {"expiration": LATER, "conditions": [["content-length-range", 0, None]]},
    ],
    ids=str,
)
def test_policies_that_are_none(document: object) -> None:
    with pytest.raises(S3Error) as caught:
        parse_policy(encoded(document))
    assert (caught.value.code, caught.value.status) == ("InvalidPolicyDocument", 400)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%%%",
        "{}",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
        base64.b64encode(b'{"expiration": NaN, "conditions": []}').decode(),
        base64.b64encode(f'{{"expiration": "{LATER}", "conditions": [{{"a": "b"}},]}}'.encode()).decode(),
        base64.b64encode(f'{{"expiration": "{LATER}", "conditions": ["\\v"]}}'.encode()).decode(),
    ],
    ids=range(9),
)
def test_texts_that_are_no_policy(text: str) -> None:
    with pytest.raises(S3Error, match="InvalidPolicyDocument"):
        parse_policy(text)


def test_what_a_policy_says_can_be_shown() -> None:
    with pytest.raises(S3Error) as caught:
        parse_policy(base64.b64encode(rb'{"expiration": "\ud800", "conditions": []}').decode())
    caught.value.message.encode()


def test_ranges_of_sizes() -> None:
    assert policy_of().size_range() == (0, float("inf"))
    assert policy_of(["content-length-range", "5", 10]).size_range() == (5, 10)
    assert policy_of(["content-length-range", 5, 10], ["Content-Length-Range", 7, 20]).size_range() == (7, 10)


NAMES = st.sampled_from(["key", "acl", "Content-Type", "x-amz-meta-a", "bucket"])
VALUES = st.text("ab,/", max_size=3)
FORMS = st.dictionaries(NAMES.map(str.lower), VALUES, max_size=5)
PLAIN = st.tuples(st.sampled_from(["eq", "starts-with", "object"]), NAMES, VALUES)


def model_allows(form: Mapping[str, str], plain: Sequence[tuple[str, str, str]]) -> bool:
    """Say what a policy of these conditions allows, as the user guide puts it."""
    for kind, name, value in plain:
        sent = form.get(name.lower())
        if sent is None:
            return False
        parts = sent.split(",") if name == "Content-Type" and kind == "starts-with" else [sent]
        if not all(part.startswith(value) if kind == "starts-with" else part == value for part in parts):
            return False
    return {name for name in form if name in {one.lower() for _, one, _ in plain}} == set(form)


@given(FORMS, st.lists(PLAIN, max_size=4))
def test_the_matcher_is_the_model(form: dict[str, str], plain: list[tuple[str, str, str]]) -> None:
    written = [{name: value} if kind == "object" else [kind, f"${name}", value] for kind, name, value in plain]
    assert (refusal(policy_of(*written), form) == "") == model_allows(form, plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=8
)


@given(st.lists(JSON, max_size=4), JSON)
def test_any_document_is_a_policy_or_refused(conditions: list[object], expiration: object) -> None:
    codes = set[str]()
    try:
        policy_of(*conditions, expiration=expiration).check({"key": "k"}, now_s=NOW_S)
    except S3Error as error:
        codes.add(error.code)
    assert codes <= {"InvalidPolicyDocument", "AccessDenied"}
