"""Sends made-up requests to a gateway and looks at what comes of them: answers, log, memory, and whether it goes on."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from s3api.errors import CODES
from tests.s3api.fuzz.connection import Connection
from tests.s3api.fuzz.messages import message
from tests.s3api.fuzz.requests import Case, Maker
from tests.s3api.fuzz.signing import Signer
from tests.s3api.fuzz.words import Pool
from tests.s3api.processes import Process

BATCH = 100


class FoundError(AssertionError):
    """An answer that must not be; the text holds the seed and the bytes that were sent."""


@dataclass
class Fuzzer:
    """Runs the requests of a seed; each can be made again from its number, but for what the pool has learnt."""

    process: Process
    signer: Signer
    seed: int
    pool: Pool = field(default_factory=Pool)
    statuses: Counter[int] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    """What the server holds in memory, in bytes, after each batch."""
    _log_bytes: int = 0

    def run(self, count: int) -> None:
        """Send requests.

        Raises:
            FoundError: an answer, the log or a hang that must not be.
        """
        maker = Maker(self.signer, f"127.0.0.1:{self.process.port}", self.pool)
        connection = Connection(self.process.port)
        for number in range(count):
            case = maker.make(random.Random(f"{self.seed}/{number}"))
            self._send(connection, case, number)
            if number % BATCH == BATCH - 1:
                self._health(case, number)
        connection.close()

    def _send(self, connection: Connection, case: Case, number: int) -> None:
        try:
            answers = connection.exchange(case.data)
        except TimeoutError:
            self._fail(case, number, "no answer", b"")
        for answer in answers:
            head, _, body = answer.partition(b"\r\n\r\n")
            wrong = wrong_in(head, body)
            if wrong:
                self._fail(case, number, wrong, answer)
            self.statuses[int(head[9:12])] += 1
            self.pool.learn(head, body)
        self._look_at_log(case, number)

    def _look_at_log(self, case: Case, number: int) -> None:
        if self.process.log.stat().st_size == self._log_bytes:
            return
        with self.process.log.open("rb") as log:
            log.seek(self._log_bytes)
            new = log.read()
        self._log_bytes += len(new)
        if b"Traceback" in new or b"unexpected error" in new or b"Error" in new:
            self._fail(case, number, "the log", new)

    def _health(self, case: Case, number: int) -> None:
        """Ask on a connection of its own whether the server goes on, and look at its memory."""
        headers = self.signer.headers("GET", "/public", [("Host", b"h")], payload="UNSIGNED-PAYLOAD")
        connection = Connection(self.process.port)
        try:
            answers = connection.exchange(message("GET", "/public", headers))
        except TimeoutError:
            answers = []
        finally:
            connection.close()
        if [answer[9:12] for answer in answers] not in ([b"200"], [b"404"]):
            self._fail(case, number, "the server does not go on", b"".join(answers))
        self.memory.append(self.process.memory_bytes())

    def _fail(self, case: Case, number: int, what: str, answer: bytes) -> None:
        file = Path(f"{self.process.log}.{self.seed}.{number}")
        file.write_bytes(case.data)
        sent = case.data if len(case.data) < 4000 else case.data[:4000] + b"..."
        place = f"seed {self.seed}, request {number} ({case.kind}), all of it in {file}"
        raise FoundError(f"{place}: {what}\nsent: {sent!r}\ncame: {answer[-4000:]!r}") from None


def wrong_in(head: bytes, body: bytes) -> str:
    """Return what is wrong with an answer; empty if nothing is."""
    if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
        return "no answer of HTTP"
    status = int(head[9:12])
    if status >= 500 and status != 501:
        return f"status {status}"
    if b"Traceback" in body or b'File "/' in body:
        return "a traceback"
    if b"content-type: application/xml" in head and body and not (status < 300 and b"etag: " in head):
        return _wrong_in_xml(status, body)
    return "an error that is no XML" if status >= 400 and body else ""


def _wrong_in_xml(status: int, body: bytes) -> str:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        return f"XML that is not well-formed: {error}"
    wrong = status >= 400 and (root.tag != "Error" or root.findtext("Code") not in CODES)
    return "an error that is none of S3's" if wrong else ""
