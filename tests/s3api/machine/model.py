"""What a bucket must hold: the versions of each key, oldest first, and uploads under way. No S3, no files."""

from dataclasses import dataclass, field

MD5_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Version:
    """What a key was after one commit; a deletion has no `body`."""

    id: str
    body: bytes | None
    etag: str = ""
    meta: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass
class Upload:
    """An upload: its key, and parts by number."""

    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Model:
    """The bucket."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def now(self, key: str) -> Version | None:
        """Return the present version; None for what is not there or deleted."""
        last = self.versions.get(key, [None])[-1]
        return last if last is not None and last.body is not None else None

    def present(self) -> dict[str, Version]:
        """Return what is there, by key in the order of UTF-8."""
        found = ((key, self.now(key)) for key in sorted(self.versions, key=str.encode))
        return {key: version for key, version in found if version is not None}

    def add(self, key: str, version: Version) -> None:
        self.versions.setdefault(key, []).append(version)

    def delete(self, key: str, version_id: str) -> None:
        """Note a deletion, if there was something."""
        if self.now(key) is not None:
            self.add(key, Version(version_id, None))

    def listed(self, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        """Return keys and common prefixes, as a listing without end has them."""
        keys, prefixes = list[str](), list[str]()
        for key in self.present():
            if not key.startswith(prefix):
                continue
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                keys.append(key)
            elif (common := key[: at + len(delimiter)]) not in prefixes:
                prefixes.append(common)
        return keys, prefixes

    def history(self) -> list[tuple[str, str, bool]]:
        """Return (key, version id, whether it is a deletion) as ListObjectVersions has them."""
        return [
            (key, version.id, version.body is None)
            for key in sorted(self.versions, key=str.encode)
            for version in reversed(self.versions[key])
        ]
