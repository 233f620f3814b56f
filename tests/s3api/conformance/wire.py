"""The client of this suite: requests by hand over one kept connection, and XML read without its namespace."""

from xml.etree import ElementTree

from tests.s3api.conftest import Reply, Server

UNSIGNED = "UNSIGNED-PAYLOAD"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Wire:
    """Sends signed requests, byte for byte as told; one thread at a time. Close it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection = server.connect()
        self.opened = 0
        """How often a connection was opened."""

    def close(self) -> None:
        self._connection.close()

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        payload: str = UNSIGNED,
        sign: bool = True,
    ) -> Reply:
        """Send a request as `path` says it; a Content-Length goes along with every PUT and POST."""
        sent = self.server.sign(method, path, headers or {}, payload=payload) if sign else dict(headers or {})
        if "Content-Length" not in sent and (body or method in {"PUT", "POST"}):
            sent["Content-Length"] = str(len(body))
        try:
            return self._exchange(method, path, body, sent)
        except BaseException:
            self._connection.close()  # half an answer may be left in it; the next request opens one
            raise

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = self._connection
        self.opened += connection.sock is None
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode())
        connection.endheaders(body or None)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.send("GET", path, b"", headers)

    def head(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.send("HEAD", path, b"", headers)

    def put(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        return self.send("PUT", path, body, headers)

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        return self.send("POST", path, body, headers)

    def delete(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.send("DELETE", path, b"", headers)


def parse(reply: Reply) -> ElementTree.Element:
    """Return the root element of an answer; names come without S3's namespace, which must be there but in errors."""
    root = ElementTree.fromstring(reply.body)
    assert root.tag == "Error" or root.tag.startswith(NAMESPACE), root.tag
    for element in root.iter():
        element.tag = element.tag.removeprefix(NAMESPACE)
    return root


def texts(reply: Reply, path: str) -> list[str]:
    """Return the texts of all elements at a path below the root, in order."""
    return [element.text or "" for element in parse(reply).findall(path)]


def text(reply: Reply, path: str) -> str | None:
    """Return the text of the one element at a path; None when it is not there."""
    found = texts(reply, path)
    assert len(found) <= 1, found
    return found[0] if found else None


def refused(reply: Reply, status: int, code: str) -> None:
    """Check that an answer is this error, in S3's form."""
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.headers["content-type"] == "application/xml"
    found = [element.tag for element in parse(reply)]
    assert found[:2] == ["Code", "Message"]
    assert found[-3:] == ["Resource", "RequestId", "HostId"]
    assert text(reply, "RequestId") == reply.headers["x-amz-request-id"]
    assert text(reply, "HostId") == reply.headers["x-amz-id-2"]
    assert text(reply, "Message")
