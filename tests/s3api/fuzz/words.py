"""What requests are made of: names that are there, names that are not, and values that sit at edges."""

import random
from collections import deque
from dataclasses import dataclass, field

BUCKETS = ("b", "b", "b", "dev.b", "public")
ODD_BUCKETS = (
    *("nobody-has-this", "a..b", "B", "%00", "x" * 70, "..", "", "é", "b.default.b", "dev.b.default", "master.b", "."),
    "0" * 32 + ".b",
)
KEYS = ("k", "k", "k0", "k1", "k2", "k3", "dir/", "dir/k", "dir", "a//b", "..", "é", "\x01", "a b+c%&=?#", "\uffff")
ODD_KEYS = ("/", "\x00", "a/" * 300, "k" * 1024, "k" * 1025)
NUMBERS = (
    *("0", "1", "2", "-1", "10000", "10001", "2147483647", "2147483648", "9" * 19, "9" * 400, "9" * 5000),
    *("0x10", "1e3", "1.5", " 1", "+1", "\u0661", "\u00b2", "", "x", "NaN", "00000000001", "1_0"),
)
WORDS = (
    *("", "a", "x", "*", "url", "true", "false", "TRUE", "2", "null", "None", "é", "\U0001f600", "\uffff", "\x01"),
    *("CRC32", "SHA256", "CRC64NVME", "MD4", "COPY", "REPLACE", "FULL_OBJECT", "COMPOSITE", "ENABLED", "private"),
    *("bytes=0-3", "bytes=-1", "bytes=5-", "bytes=9-1", "bytes=0-0,2-3", "bytes=" + "9" * 300 + "-", "bytes=-"),
    *("b/k", "/b/k", "b/k?versionId=null", "b%2Fk", "b", "nobody/k", "%FF/%00", "/b/%zz", "b/k?versionId="),
    *("aws-chunked", "gzip,aws-chunked", "gzip", "chunked", "identity", "100-continue", "close", "keep-alive"),
    *("Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 99 Xxx 99999 99:99:99", "2001-01-01T00:00:00Z", "0", "9" * 20),
    *("Sun, 06 Nov 1994 08:49:37 -2500", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"),
    *("text/html", "application/xml; charset=utf-16", "multipart/form-data", "multipart/form-data; boundary=", "a\tb"),
    *("NhCmhg==", "AAAAAA==", "!", "=", "AAAA", "XUFAKrxLKna5cZ2REBfFkg==", "d41d8cd98f00b204e9800998ecf8427e"),
    *("http://a.test", "null", "GET", "PUT, GET", "x" * 300, "a=b&c=d", "a=b&a=c", "=", "&", "%", "a=%FF", "\xa0"),
    *('"', '"x', "W/", ",", ";", "\x7f", "0" * 32),
)


@dataclass
class Pool:
    """What answers have named so far: uploads, versions, ETags, tokens."""

    uploads: deque[str] = field(default_factory=lambda: deque(["none"], 20))
    versions: deque[str] = field(default_factory=lambda: deque(["null"], 20))
    etags: deque[str] = field(default_factory=lambda: deque(["d41d8cd98f00b204e9800998ecf8427e"], 20))
    tokens: deque[str] = field(default_factory=lambda: deque(["YQ=="], 20))

    def upload(self, rng: random.Random) -> str:
        return rng.choice([*self.uploads, "0" * 32, ""])

    def version(self, rng: random.Random) -> str:
        return rng.choice([*self.versions, "0" * 32, "null", ""])

    def etag(self, rng: random.Random) -> str:
        return rng.choice([*self.etags, '"', "x"])

    def token(self, rng: random.Random) -> str:
        return rng.choice([*self.tokens, "", "!"])

    def learn(self, head: bytes, body: bytes) -> None:
        """Take the names out of an answer."""
        for into, data, start, end in (
            (self.uploads, body, b"<UploadId>", b"<"),
            (self.tokens, body, b"<NextContinuationToken>", b"<"),
            (self.versions, head, b"x-amz-version-id: ", b"\r"),
            (self.etags, head, b'etag: "', b'"'),
        ):
            _, found, rest = data.partition(start)
            if found:
                into.append(rest.partition(end)[0].decode("latin-1"))


def bucket(rng: random.Random) -> str:
    return rng.choice(BUCKETS if rng.random() < 0.9 else ODD_BUCKETS)


def key(rng: random.Random) -> str:
    if rng.random() < 0.85:
        return rng.choice(KEYS)
    return rng.choice([*ODD_KEYS, word(rng)])


def number(rng: random.Random) -> str:
    return rng.choice(NUMBERS)


def word(rng: random.Random) -> str:
    """Return any text: of the list, or of random characters."""
    if rng.random() < 0.8:
        return rng.choice(WORDS)
    high = rng.choice([0x7F, 0xFF, 0x2FFF, 0xD7FF, 0x10FFFF])
    codes = (rng.randint(0, high) for _ in range(rng.choice([1, 3, 20])))
    return "".join(chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF)


def octets(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def spoil(rng: random.Random, data: bytes, most: int = 4) -> bytes:
    """Change, drop, double or insert a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randint(0, len(changed))
        what = rng.randrange(5)
        if what == 0:
            changed[at : at + 1] = octets(rng, 1)
        elif what == 1:
            del changed[at : at + rng.choice([1, 1, 2, 8, 64])]
        elif what == 2:
            changed[at:at] = changed[at : at + rng.choice([1, 4, 40])]
        elif what == 3:
            changed[at:at] = octets(rng, rng.choice([1, 2, 5]))
        else:
            marks = [b"\r\n", b"\n", b"\0", b" ", b"%", b"\xff", b";", b":", b"<", b"&", b"\r", b"\xed\xa0\x80"]
            changed[at:at] = rng.choice(marks)
    return bytes(changed)
