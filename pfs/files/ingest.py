"""Bytes in: streams and trees of files become chunks in the store, in parallel and in bounded memory.

The order of work decides the speed: cut, hash, drop what is known, and only then sample, compress and write. So the
second put of the same bytes stops after the look-up. Measurements: docs/design/ingest.md.
"""

from pfs.files.fileref import EMPTY_FILE, FileRef
from pfs.files.ingest_files import put_files
from pfs.files.ingest_stream import put_stream
from pfs.files.progress import Progress
from pfs.files.stream_ingest import StreamIngest

__all__ = ["EMPTY_FILE", "FileRef", "Progress", "StreamIngest", "put_files", "put_stream"]
