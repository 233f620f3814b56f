"""Content-defined chunking with ``plg1``: where a stream is cut depends on the bytes near the cut alone.

So an edit moves the cuts near it and no others, and equal data gives equal chunks wherever it lies. The
rule is in docs/format/chunking.md. Kernels differ in speed, never in a cut: stored repositories depend on
it (tests/data/cut_points.json). All functions may be called from several threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle, pairwise
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from pfs._plg_plan import Plan, hit_by_constant, make_plan
from pfs.errors import InvalidInputError, InvalidParamsError, StorageError

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes, read without a copy."""

ALGORITHM = "plg1"
"""The chunker's id in a store's config."""

_MIN_AVG, _MAX_AVG = 64 << 10, 8 << 20


class KernelUnavailableError(InvalidInputError):
    """PFS_KERNEL names a kernel that is not there: ``(kernel, reason)``."""

    kind = "kernel-unavailable"

    def __init__(self, kernel: str, reason: str) -> None:
        super().__init__(kernel, reason)
        self.kernel, self.reason = kernel, reason

    def __str__(self) -> str:
        return f"PFS_KERNEL={self.kernel} cannot be used: {self.reason}; unset it, or use c or numpy"


class ChunkerParams(Struct, frozen=True):
    """What decides the cuts, one set for each store, for ever.

    ``avg_bytes`` is 64 KiB to 8 MiB; random data has a mean chunk of 1.2 times that. ``seed`` has 64 bits.

    Raises:
        InvalidParamsError: a number is out of range, or the seed's keys are weak (about one seed in thirty).
    """

    avg_bytes: int = 262144
    seed: int = 1

    def __post_init__(self) -> None:
        if not _MIN_AVG <= self.avg_bytes <= _MAX_AVG:
            raise InvalidParamsError(f"chunk average {self.avg_bytes} is not between {_MIN_AVG} and {_MAX_AVG} bytes")
        if not 0 <= self.seed < 1 << 64:
            raise InvalidParamsError(f"chunker seed {self.seed} is not between 0 and 2**64 - 1")
        byte = hit_by_constant(self.plan)
        if byte is not None:
            raise InvalidParamsError(f"chunker seed {self.seed} is weak for runs of byte {byte}: choose another")

    @property
    def plan(self) -> Plan:
        """The numbers that the kernels work with, made once for each set of parameters."""
        return make_plan(self.avg_bytes, self.seed)

    @property
    def min_bytes(self) -> int:
        """Length that only the last chunk of a stream may fall short of."""
        return self.plan.min_bytes

    @property
    def max_bytes(self) -> int:
        """Length at which a chunk ends whatever its bytes."""
        return self.plan.max_bytes

    @property
    def t1(self) -> int:
        """Threshold of the 64-bit hash for chunks shorter than the average."""
        return self.plan.t1

    @property
    def t2(self) -> int:
        """Threshold of the 64-bit hash from the average on."""
        return self.plan.t2


class Kernel(Protocol):
    """One implementation of plg1."""

    @property
    def name(self) -> str:
        """``c-avx512``, ``c-avx2``, ``c-portable``, ``c-scalar`` or ``numpy``."""

    def cuts(self, data: Buffer, params: ChunkerParams, *, final: bool, limit: int = 0) -> list[int]:
        """Return the end offset of each chunk of ``data``, which starts where a chunk starts; increasing.

        With ``final`` the last offset is ``len(data)``, and empty data gives ``[]``. Without it bytes may
        follow, and only cuts that hold whatever follows are returned: keep ``data[last:]``, append and call
        again. ``limit`` stops after so many chunks; 0 means all. One pass without copies; the C kernel lets
        other threads run meanwhile.
        """


class _Twin(Struct, frozen=True):
    """A kernel: its name and the function behind it."""

    name: str
    run: Callable[[Buffer, Plan, bool, int], list[int]]

    def cuts(self, data: Buffer, params: ChunkerParams, *, final: bool, limit: int = 0) -> list[int]:
        return self.run(data, params.plan, final, limit)


class Readable(Protocol):
    """A blocking stream of bytes: a file opened unbuffered, a socket's file, ``io.BytesIO``."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read at least one byte into ``buffer`` and return how many; 0 at the end."""


class Splitter:
    """Cuts streams of any length into chunks, through a ring of ``buffers`` reusable buffers.

    Memory is ``buffers * buffer_bytes`` (default: one of 8 MiB, or of 4 times ``max_bytes`` if that is
    more). What is yielded are views into a buffer, valid until ``buffers`` more batches have been asked
    for; copy what must live longer. A buffer is filled before it is cut: at the default size less than a
    third of the bytes is scanned twice, however short the reads. One thread, and one stream at a time; the
    views may be read anywhere.

    Raises:
        InvalidParamsError: ``buffer_bytes`` is less than twice ``max_bytes``, or there is no buffer.
    """

    def __init__(self, params: ChunkerParams, *, buffer_bytes: int | None = None, buffers: int = 1) -> None:
        size = max(8 << 20, 4 * params.max_bytes) if buffer_bytes is None else buffer_bytes
        if size < 2 * params.max_bytes or buffers < 1:
            raise InvalidParamsError(f"{buffers} buffers of {size} bytes cannot hold two chunks of {params.max_bytes}")
        self._params = params
        self._buffers = [memoryview(bytearray(size)) for _ in range(buffers)]

    def chunks(self, stream: Readable) -> Iterator[memoryview]:
        """Yield the chunks of ``stream`` in order, each valid until the next is asked for."""
        for batch in self.batches(stream):
            yield from batch

    def batches(self, stream: Readable) -> Iterator[list[memoryview]]:
        """Yield the chunks of ``stream`` in order, as many at a time as a buffer holds; none if it is empty.

        Raises:
            StorageError: ``stream`` is not in blocking mode. What ``readinto`` raises passes through.
        """
        kept = memoryview(b"")
        for buffer in cycle(self._buffers):
            buffer[: len(kept)] = kept
            filled = _fill(stream, buffer, len(kept))
            final = filled < len(buffer)
            cuts = cut_points(buffer[:filled], self._params, final=final)
            if cuts:
                yield [buffer[start:stop] for start, stop in pairwise([0, *cuts])]
            if final:
                return
            kept = buffer[cuts[-1] :]


def _fill(stream: Readable, buffer: memoryview, filled: int) -> int:
    """Read into ``buffer`` from ``filled`` on, to its end or the stream's; return the bytes it holds."""
    while filled < len(buffer):
        got = stream.readinto(buffer[filled:])
        if got is None:
            raise StorageError("read the stream", "it is not in blocking mode")
        if got == 0:
            break
        filled += got
    return filled


def cut_points(data: Buffer, params: ChunkerParams, *, final: bool = True) -> list[int]:
    """Return the end offset of each chunk of ``data``, in bytes, strictly increasing; see ``Kernel.cuts``.

    Each chunk has between ``min_bytes`` and ``max_bytes``, except the last, which may be shorter. The same
    bytes and params give the same cuts on every machine and release.
    """
    return kernel().cuts(data, params, final=final)


def next_cut(data: Buffer, params: ChunkerParams, *, final: bool) -> int | None:
    """Return the length of the first chunk of ``data``; None when empty or when bytes still to come decide.

    For cutting anew across a seam until a cut falls on a known one. Costs one chunk, however long ``data``
    is; with ``max_bytes`` or more of data, or with ``final`` and any data, the answer is never None.
    """
    return next(iter(kernel().cuts(data, params, final=final, limit=1)), None)


@cache
def kernel() -> Kernel:
    """Return the kernel of this process, chosen once.

    The environment variable ``PFS_KERNEL``, if not empty, is a demand. Without it the C kernel is taken, or
    NumPy if that was not built.

    Raises:
        KernelUnavailableError: PFS_KERNEL names a kernel that is not there.
    """
    match os.environ.get("PFS_KERNEL", ""):
        case "":
            try:
                return _c_kernels()[0]
            except ImportError:
                return _numpy_kernel()
        case "c":
            return load_kernel("c")
        case "numpy":
            return load_kernel("numpy")
        case unknown:
            raise KernelUnavailableError(unknown, "there is no such kernel")


def kernels() -> list[Kernel]:
    """Return every kernel that runs on this machine, fastest first."""
    try:
        native = _c_kernels()
    except ImportError:
        native = []
    return [*native, load_kernel("numpy")]


def load_kernel(name: Literal["c", "numpy"]) -> Kernel:
    """Return the NumPy kernel, or the C kernel in its fastest variant for this processor.

    Raises:
        KernelUnavailableError: the extension module pfs._cdc was not built, or does not load.
    """
    if name == "numpy":
        return _numpy_kernel()
    try:
        return _c_kernels()[0]
    except ImportError as error:
        raise KernelUnavailableError(name, f"the extension module is not there ({error})") from error


def _c_kernels() -> list[Kernel]:
    from pfs import _cdc

    def bind(variant: str) -> Kernel:
        def run(data: Buffer, plan: Plan, final: bool, limit: int) -> list[int]:
            return _cdc.cuts(data, plan.words(), final, limit, variant)

        return _Twin(f"c-{variant}", run)

    return [bind(variant) for variant in _cdc.variants()]


def _numpy_kernel() -> Kernel:
    from pfs import _plg

    def run(data: Buffer, plan: Plan, final: bool, limit: int) -> list[int]:
        return _plg.cuts(data, plan, final=final, limit=limit)

    return _Twin("numpy", run)
