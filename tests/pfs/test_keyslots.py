"""Key slots: what opens a store, what does not, and changes of them that fail at any point."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pfs.backends.base import Backend
from pfs.backends.encrypted_key import StoreKey, derive
from pfs.backends.encrypted_names import SLOTS
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.encryption.keeper import (
    add_slot,
    list_slots,
    make_slots,
    open_slots,
    read_slots,
    remove_slot,
    replace_slot,
    slots_there,
)
from pfs.encryption.secret import KeyFile, Passphrase, Secret, make_key_file, read_key_file, read_passphrase_file
from pfs.encryption.slots import Cost, name_of, open_slot
from pfs.encryption.unlock import Locked, begun, from_environment, unlocked
from pfs.errors import (
    AlreadyExistsError,
    ConfigDamagedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    InvalidNameError,
    KeyNeededError,
    NotFoundError,
    PfsError,
    StorageError,
    WrongKeyError,
)
from pfs.refs.signed import sign_body
from pfs.testing.faults import WRITES, FaultyBackend, How
from tests.pfs.encryption_world import hkdf

CHEAP = Cost(n=16, r=1, p=1)
GOLDEN = Path(__file__).parents[1] / "data" / "encryption_v1.json"
OLD, NEW, FILE = Passphrase("old words"), Passphrase("new words"), KeyFile(b"k" * 32)


def opens(backend: Backend, secret: Secret) -> bool:
    try:
        open_slots(slots_there(backend), secret, location=backend.location)
    except WrongKeyError:
        return False
    return True


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def key(backend: MemoryBackend) -> StoreKey:
    return make_slots(backend, OLD, name="first", cost=CHEAP)


def test_the_golden_file() -> None:
    backend = MemoryBackend()
    backend.swap(SLOTS, None, GOLDEN.read_bytes())
    for secret in (Passphrase("correct horse"), KeyFile(b"0123456789abcdef" * 2)):
        assert open_slots(slots_there(backend), secret, location="x").raw == bytes(range(32))
    found = list_slots(backend, StoreKey(bytes(range(32))))
    assert [(info.name, info.kind) for info in found] == [("file", "key-file"), ("words", "passphrase")]


def test_hkdf_is_that_of_the_library() -> None:
    for salt in (b"", b"salt", bytes(range(100))):
        for length in (8, 32, 64):
            assert derive(b"s", salt=salt, info=b"i", length=length) == hkdf(b"s", salt=salt, info=b"i", length=length)


def test_several_secrets_open_one_store(backend: MemoryBackend, key: StoreKey) -> None:
    add_slot(backend, key, FILE, name="disk", cost=CHEAP)
    add_slot(backend, key, NEW, name="other", cost=CHEAP)
    for secret in (OLD, NEW, FILE):
        assert open_slots(slots_there(backend), secret, location="x").raw == key.raw
    assert not opens(backend, Passphrase("old word"))
    assert not opens(backend, KeyFile(b"K" * 32))
    assert not opens(backend, KeyFile(OLD.data * 8))
    infos = list_slots(backend, key)
    assert [(info.name, info.kind) for info in infos] == [
        ("disk", "key-file"),
        ("first", "passphrase"),
        ("other", "passphrase"),
    ]
    assert all(info.created_ns > 0 for info in infos)
    stored = backend.get(SLOTS)
    for secretive in (b"disk", b"first", b"other", b"words", key.raw, key.raw.hex().encode()):
        assert secretive not in stored


def test_a_passphrase_is_rotated_and_the_old_one_opens_nothing(backend: MemoryBackend, key: StoreKey) -> None:
    replace_slot(backend, key, NEW, name="first", cost=CHEAP)
    assert (opens(backend, OLD), opens(backend, NEW)) == (False, True)
    with pytest.raises(NotFoundError, match="list-keyslot"):
        replace_slot(backend, key, OLD, name="none", cost=CHEAP)
    with pytest.raises(AlreadyExistsError):
        add_slot(backend, key, OLD, name="first", cost=CHEAP)
    with pytest.raises(InvalidNameError):
        add_slot(backend, key, OLD, name="a b", cost=CHEAP)


def test_the_last_slot_stays(backend: MemoryBackend, key: StoreKey) -> None:
    with pytest.raises(ConflictError, match="the last one"):
        remove_slot(backend, key, name="first")
    add_slot(backend, key, NEW, name="second", cost=CHEAP)
    remove_slot(backend, key, name="first")
    assert (opens(backend, OLD), opens(backend, NEW)) == (False, True)
    with pytest.raises(ConflictError, match="the last one"):
        remove_slot(backend, key, name="second")
    with pytest.raises(NotFoundError):
        remove_slot(backend, key, name="first")


def test_a_secret_that_was_taken_away_opens_nothing_in_this_process_either(backend: MemoryBackend) -> None:
    key = begun(backend, OLD, cost=CHEAP)._key
    unlocked(backend, OLD)
    unlocked(backend, lambda locked: OLD)
    replace_slot(backend, key, NEW, name="first", cost=CHEAP)
    with pytest.raises(WrongKeyError, match="this passphrase does not open"):
        unlocked(backend, OLD)
    unlocked(backend, NEW)
    unlocked(backend, key)
    with pytest.raises(WrongKeyError):
        unlocked(backend, StoreKey.fresh())


CHANGES: dict[str, tuple[Callable[[Backend, StoreKey], None], set[str]]] = {
    "rotate": (lambda backend, key: replace_slot(backend, key, NEW, name="first", cost=CHEAP), {"new", "file"}),
    "add": (lambda backend, key: add_slot(backend, key, NEW, name="more", cost=CHEAP), {"old", "new", "file"}),
    "remove": (lambda backend, key: remove_slot(backend, key, name="first"), {"file"}),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("dead", [False, True])
def test_a_change_that_fails_anywhere_leaves_the_slots_before_or_after(
    tmp_path: Path, what: str, how: How, dead: bool
) -> None:
    change, after = CHANGES[what]
    for fail_at in range(1, 10):
        place = tmp_path / str(fail_at)
        place.mkdir()
        backend = LocalBackend(place)
        key = make_slots(backend, OLD, name="first", cost=CHEAP)
        add_slot(backend, key, FILE, name="file")
        faulty = FaultyBackend(backend, fail_at=fail_at, how=how, counted=WRITES | {"read"}, dead_after=dead)
        failed = False
        try:
            change(faulty, key)
        except StorageError:
            failed = True
        held = {name for name, secret in (("old", OLD), ("new", NEW), ("file", FILE)) if opens(backend, secret)}
        assert held == after if not failed else held in ({"old", "file"}, after)
        if not faulty.fired:
            return
        assert failed or how is How.AFTER
        if failed and held != after:
            change(backend, key)
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("how", How)
def test_slots_that_were_begun_are_gone_on_with(how: How) -> None:
    backend = MemoryBackend()
    for fail_at in (1, 2):
        faulty = FaultyBackend(backend, fail_at=fail_at, how=how, counted=WRITES | {"read"}, dead_after=True)
        with pytest.raises(StorageError):
            make_slots(faulty, OLD, name="first", cost=CHEAP)
    key = make_slots(backend, OLD, name="first", cost=CHEAP)
    assert make_slots(backend, OLD, name="first", cost=CHEAP).raw == key.raw
    with pytest.raises(WrongKeyError):
        make_slots(backend, NEW, name="first", cost=CHEAP)


def test_two_that_change_slots_at_once_lose_nothing(backend: MemoryBackend, key: StoreKey) -> None:
    class Meddling(MemoryBackend):
        """Has somebody else add a slot before the first swap."""

        __init__ = object.__init__  # type: ignore[assignment]
        __getattribute__ = object.__getattribute__
        done = False

        def read(self, name: str) -> object:  # type: ignore[override]
            found = backend.read(name)
            if not self.done:
                self.done = True
                add_slot(backend, key, FILE, name="theirs")
            return found

        def swap(self, *words: object) -> object:  # type: ignore[override]
            return backend.swap(*words)  # type: ignore[arg-type]

    add_slot(Meddling(), key, NEW, name="mine", cost=CHEAP)
    assert [info.name for info in list_slots(backend, key)] == ["first", "mine", "theirs"]


def changed(backend: MemoryBackend, **fields: object) -> None:
    """Change the first slot as who owns the bucket could."""
    data = json.loads(backend.get(SLOTS))
    data.pop("sum")
    data["slots"][0] |= fields
    backend.delete_many([SLOTS])
    backend.swap(SLOTS, None, sign_body(json.dumps(data, separators=(",", ":")).encode()))


def test_slots_that_were_changed_open_nothing(backend: MemoryBackend, key: StoreKey) -> None:
    slot = slots_there(backend).slots[0]
    other = MemoryBackend()
    make_slots(other, OLD, name="first", cost=CHEAP)
    theirs = slots_there(other).slots[0]
    for fields in (
        {"wrapped": slot.wrapped[:-2] + "00"},
        {"n": 32},
        {"salt": theirs.salt},
        {"wrapped": theirs.wrapped, "salt": theirs.salt},
    ):
        changed(backend, **fields)
        assert not opens(backend, OLD), fields
        changed(backend, wrapped=slot.wrapped, n=slot.n, salt=slot.salt)
    assert opens(backend, OLD)
    for fields in ({"n": 1 << 40}, {"n": 15}, {"salt": "zz"}, {"wrapped": "x"}):
        changed(backend, **fields)
        with pytest.raises(CorruptionError, match="key slot"):
            opens(backend, OLD)
        changed(backend, wrapped=slot.wrapped, n=slot.n, salt=slot.salt)
    changed(backend, name="00")
    assert list_slots(backend, key)[0].name == slot.id == name_of(slots_there(backend).slots[0], key)


def test_slots_that_are_lost_or_damaged_are_named(backend: MemoryBackend) -> None:
    assert read_slots(backend) is None
    with pytest.raises(ConfigDamagedError, match=r"encryption\.json is damaged: without the file .* from a copy"):
        unlocked(backend, OLD)
    backend.swap(SLOTS, None, b"{}")
    with pytest.raises(ConfigDamagedError, match=r"encryption\.json is damaged: its checksum"):
        unlocked(backend, OLD)


def test_a_place_with_plain_objects_is_not_made_encrypted(backend: MemoryBackend) -> None:
    backend.put_new("refs/r.json", b"{}")
    with pytest.raises(ConflictError, match="not encrypted"):
        begun(backend, OLD, cost=CHEAP)
    assert read_slots(backend) is None


def test_secrets_show_nothing() -> None:
    for secret in (OLD, FILE):
        assert "words" not in repr(secret) + str(secret)
        assert "kkk" not in repr(secret) + str(secret)


def test_passphrases_are_one_line_however_they_are_typed(tmp_path: Path) -> None:
    assert Passphrase("e\u0301") == Passphrase("\u00e9")
    for bad in ("", "a\nb", "x" * 5000):
        with pytest.raises(InvalidInputError):
            Passphrase(bad)
    file = tmp_path / "words"
    file.write_bytes(b"my words \r\nmore\n")
    assert read_passphrase_file(file) == Passphrase("my words ")
    with pytest.raises(NotFoundError, match="passphrase file"):
        read_passphrase_file(tmp_path / "none")
    with pytest.raises(StorageError):
        read_passphrase_file(tmp_path)
    file.write_bytes(b"\xff\xfe odd bytes")
    assert read_passphrase_file(file).data == b"\xff\xfe odd bytes"


def test_key_files(tmp_path: Path) -> None:
    made = make_key_file(tmp_path / "key")
    assert make_key_file(tmp_path / "key") == read_key_file(tmp_path / "key") == made
    assert os.stat(tmp_path / "key").st_mode & 0o777 == 0o600
    assert make_key_file(tmp_path / "key2") != made
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(InvalidInputError, match="32 bytes"):
        read_key_file(tmp_path / "short")
    with pytest.raises(InvalidInputError, match="64 KiB"):
        KeyFile(bytes(1 << 17))
    with pytest.raises(StorageError):
        make_key_file(tmp_path / "no" / "such")


def test_the_environment_says_what_opens_a_store(tmp_path: Path) -> None:
    words, file = tmp_path / "words", tmp_path / "key"
    words.write_text("from a file\n")
    file.write_bytes(b"k" * 32)
    env = {"PFS_PASSPHRASE": "direct", "PFS_PASSPHRASE_FILE": str(words), "PFS_KEY_FILE": str(file)}

    def given(*names: str, kinds: tuple[str, ...] = ("passphrase",)) -> Secret:
        return from_environment(Locked("x", frozenset(kinds)), env={name: env[name] for name in names})  # type: ignore[arg-type]

    assert given(*env) == given("PFS_PASSPHRASE") == Passphrase("direct")
    assert given("PFS_PASSPHRASE_FILE", "PFS_KEY_FILE") == Passphrase("from a file")
    assert given(*env, kinds=("key-file", "passphrase")) == given("PFS_KEY_FILE") == KeyFile(b"k" * 32)
    with pytest.raises(KeyNeededError, match="PFS_PASSPHRASE_FILE or PFS_KEY_FILE"):
        given()


def test_the_default_cost_is_kept_in_the_slot() -> None:
    backend = MemoryBackend()
    make_slots(backend, OLD, name="first")
    slot = slots_there(backend).slots[0]
    assert (slot.n, slot.r, slot.p) == (1 << 17, 8, 1)
    assert open_slot(slot, OLD, where="x") is not None


def test_errors_say_nothing_of_secrets(backend: MemoryBackend, key: StoreKey) -> None:
    with pytest.raises(PfsError) as wrong:
        unlocked(backend, Passphrase("hunter2"))
    assert "hunter2" not in str(wrong.value) + repr(wrong.value.args)
