"""Which kernel runs, and what the native module does with wrong arguments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pfs.chunker import ChunkerParams, KernelUnavailableError, cut_points, kernel, kernels, load_kernel

NATIVE = any(found.name.startswith("c-") for found in kernels())
needs_native = pytest.mark.skipif(not NATIVE, reason="the C kernel is not built")
WITHOUT_NATIVE = "import sys; sys.modules['pfs._cdc'] = None\n"
CHOOSE = """
from pfs.chunker import kernel
from pfs.chunker import KernelUnavailableError
try:
    print(kernel().name)
except KernelUnavailableError as error:
    print(error.kind, error.kernel, error)
"""


def choice(demand: str | None, *, prelude: str = "") -> str:
    """What a new process with PFS_KERNEL=demand chooses."""
    env = {name: value for name, value in os.environ.items() if name != "PFS_KERNEL"}
    if demand is not None:
        env["PFS_KERNEL"] = demand
    command = [sys.executable, "-c", prelude + CHOOSE]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


@needs_native
@pytest.mark.parametrize("demand", [None, "", "c"])
def test_the_fastest_native_kernel_is_chosen(demand: str | None) -> None:
    assert choice(demand) == kernels()[0].name
    assert kernels()[0].name.startswith("c-")


def test_numpy_can_be_demanded() -> None:
    assert choice("numpy") == "numpy"


def test_numpy_is_chosen_when_the_extension_is_missing() -> None:
    assert choice(None, prelude=WITHOUT_NATIVE) == "numpy"


def test_a_demand_for_a_missing_extension_is_an_error() -> None:
    answer = choice("c", prelude=WITHOUT_NATIVE)
    assert answer.startswith("kernel-unavailable c PFS_KERNEL=c cannot be used: the extension module is not there")


def test_an_unknown_demand_is_an_error() -> None:
    assert choice("avx9") == (
        "kernel-unavailable avx9 PFS_KERNEL=avx9 cannot be used: there is no such kernel; unset it, or use c or numpy"
    )


@needs_native
def test_numpy_is_not_imported_for_the_native_kernel() -> None:
    report = "import atexit, sys; atexit.register(lambda: print('numpy' in sys.modules))\n"
    assert choice("c", prelude=report).splitlines()[-1] == "False"


def test_the_choice_is_made_once() -> None:
    assert kernel() is kernel()
    assert kernel().name in {found.name for found in kernels()}


def test_load_kernel_gives_what_is_asked_for() -> None:
    assert load_kernel("numpy").name == "numpy"
    if NATIVE:
        assert load_kernel("c").name == kernels()[0].name


def test_load_kernel_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    import pfs

    monkeypatch.delattr(pfs, "_cdc", raising=False)
    monkeypatch.setitem(sys.modules, "pfs._cdc", None)
    with pytest.raises(KernelUnavailableError):
        load_kernel("c")
    assert [found.name for found in kernels()] == ["numpy"]


def test_threads_share_a_kernel() -> None:
    blocks = [random.Random(seed).randbytes(1 << 20) for seed in range(4)]
    params = ChunkerParams(65536)
    for found in kernels():
        expected = [found.cuts(block, params, final=True) for block in blocks]
        with ThreadPoolExecutor(4) as pool:
            again = pool.map(lambda block: found.cuts(block, params, final=True), blocks * 8)  # noqa: B023
            assert list(again) == expected * 8


@needs_native
@pytest.mark.parametrize(
    ("plan", "limit", "variant", "message"),
    [
        (b"", 0, "scalar", "a plan has 208 bytes, got 0"),
        (bytes(208), 0, "scalar", "a plan needs 1024 < min < normal < max"),
        (ChunkerParams().plan.words(), -1, "scalar", "limit must not be negative"),
        (ChunkerParams().plan.words(), 0, "mmx", "variant 'mmx' cannot run here"),
    ],
)
def test_native_refusals_release_the_buffer(plan: bytes, limit: int, variant: str, message: str) -> None:
    from pfs import _cdc

    data = bytearray(100)
    with pytest.raises(ValueError, match=message):
        _cdc.cuts(data, plan, True, limit, variant)
    data.extend(b"!")  # a bytearray with a view that lives refuses this
    assert cut_points(data, ChunkerParams()) == [101]
    data.extend(b"!")


@needs_native
def test_read_sum_adds_whole_blocks_of_words() -> None:
    from pfs import _cdc

    words = [random.Random(3).getrandbits(64) for _ in range(64)]
    data = b"".join(word.to_bytes(8, "little") for word in words)
    if sys.byteorder == "little":
        assert _cdc.read_sum(data + b"tail") == sum(words) % (1 << 64)
    assert _cdc.read_sum(b"") == 0
