"""URLs of any other scheme, through what the user has installed for fsspec: gs://, az://, sftp:// and so on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from pfs.errors import InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.sources.names import media_type, name_of, shown
from pfs.sources.remote import Fetched, RemoteFile

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PACKAGES: Final = {
    "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs",
    "sftp": "paramiko", "ssh": "paramiko", "hf": "huggingface_hub", "hdfs": "pyarrow", "smb": "smbprotocol",
}  # fmt: skip


class Elsewhere:
    """URLs of one scheme that fsspec knows; see `Origin`. A transfer that breaks is not resumed."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        package = _PACKAGES.get(scheme)
        try:
            import fsspec

            fsspec.get_filesystem_class(scheme)
        except ImportError as error:
            wanted = f"fsspec {package}" if package else "fsspec"
            raise InvalidInputError(f"{scheme}:// URLs need other packages: pip install {wanted}") from error
        except ValueError as error:
            known = "http, https, s3, file, and what fsspec knows"
            raise InvalidInputError(f"{scheme}:// is no scheme that can be put: {known}") from error

    def file(self, url: str) -> RemoteFile:
        """Return the file that a URL names."""
        system, path = self._system(url)
        return self._file(system, path, url, name=name_of(url))

    def below(self, url: str) -> Iterator[RemoteFile]:
        """Yield the files below a URL, directory by directory."""
        system, path = self._system(url)
        path = path.rstrip("/")
        found = False
        with self._errors(url):
            for folder, _, names in system.walk(path, on_error="raise"):
                for name in sorted(names):
                    found = True
                    place = f"{folder}/{name}"
                    yield self._file(system, place, f"{self._scheme}://{place}", name=place[len(path) :].strip("/"))
        if not found:
            raise NotFoundError(f"no files below {shown(url)}; a single file is put without -r")

    def _system(self, url: str) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs

        with self._errors(url):
            system, path = url_to_fs(url)
        return system, str(path)

    def _file(self, system: AbstractFileSystem, path: str, url: str, *, name: str) -> RemoteFile:
        @contextmanager
        def opened(stop: threading.Event) -> Iterator[Fetched]:
            with self._errors(url):
                stream = system.open(path, "rb")
            with stream:
                mime = getattr(stream, "details", None) or {}
                kind = mime.get("contentType") or mime.get("ContentType") if isinstance(mime, dict) else None
                yield Fetched(cast("BinaryIO", _Stoppable(stream.read, shown(url), stop)), media_type(kind))

        return RemoteFile(name, shown(url), opened)

    @contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except (PfsError, GeneratorExit):
            raise
        except FileNotFoundError as error:
            raise NotFoundError(f"nothing at {shown(url)}") from error
        except Exception as error:  # each file system of fsspec has errors of its own
            raise _unreadable(url, error) from error


class _Stoppable:
    """Reads, unless it was stopped."""

    def __init__(self, read: Callable[[int], bytes], url: str, stop: threading.Event) -> None:
        self._read, self._url, self._stop = read, url, stop

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise StorageError(f"read {self._url}", "it was stopped")
        try:
            return self._read(size)
        except Exception as error:  # as above
            raise _unreadable(self._url, error) from error


def _unreadable(url: str, error: Exception) -> StorageError:
    return StorageError(f"read {shown(url)}", " ".join(str(error).split()) or type(error).__name__)
