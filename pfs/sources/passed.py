"""What a walk passes over without an error: said once, however much it is."""

from __future__ import annotations

from pfs.shorten import quoted


class PassedOver:
    """Counts sockets, pipes and devices in directories, and keeps the path of the first; for one thread."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def add(self, path: str) -> None:
        """Count one."""
        self._first = self._first if self._count else path
        self._count += 1

    def notes(self) -> tuple[str, ...]:
        """Return a line for the user; none where nothing was passed over."""
        if not self._count:
            return ()
        what = f"{self._count} devices, pipes or sockets, the first" if self._count > 1 else "a device, pipe or socket:"
        return (f"passed over {what} {quoted(self._first)}",)
