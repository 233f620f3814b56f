"""XML bodies: those that operations take, with surprises, and such as attack parsers."""

import random
from collections.abc import Callable
from xml.sax.saxutils import escape

from tests.s3api.fuzz.words import Pool, key, number, spoil, word

Make = Callable[[random.Random, Pool], bytes]


def delete(rng: random.Random, pool: Pool) -> bytes:
    objects = (
        f"<Object><Key>{escape(key(rng))}</Key>{_some(rng, 'VersionId', pool.version(rng))}"
        f"{_some(rng, 'ETag', word(rng))}{_some(rng, 'Size', number(rng))}"
        f"{_some(rng, 'LastModifiedTime', word(rng))}</Object>"
        for _ in range(rng.choice([0, 1, 2, 5]))
    )
    return f"<Delete>{''.join(objects)}{_some(rng, 'Quiet', rng.choice(['true', 'x']))}</Delete>".encode()


def complete(rng: random.Random, pool: Pool) -> bytes:
    parts = (
        f"<Part><PartNumber>{rng.choice([number(rng), str(at)])}</PartNumber><ETag>{escape(pool.etag(rng))}</ETag>"
        f"{_some(rng, 'ChecksumCRC32', word(rng))}</Part>"
        for at in range(1, rng.choice([1, 2, 3, 8]))
    )
    return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()


def tagging(rng: random.Random, pool: Pool) -> bytes:
    tags = (
        f"<Tag><Key>{escape(word(rng))}</Key><Value>{escape(word(rng))}</Value></Tag>"
        for _ in range(rng.choice([0, 1, 3, 11]))
    )
    return f"<Tagging><TagSet>{''.join(tags)}</TagSet></Tagging>".encode()


def cors(rng: random.Random, pool: Pool) -> bytes:
    names = ["AllowedMethod", "AllowedOrigin", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds", "ID"]
    rules = []
    for _ in range(rng.choice([0, 1, 2])):
        values = ["GET", "PUT", "*", "http://*.x", "https://a", number(rng), word(rng)]
        leaves = (f"<{name}>{escape(rng.choice(values))}</{name}>" for name in rng.choices(names, k=rng.randint(0, 5)))
        rules.append(f"<CORSRule>{''.join(leaves)}</CORSRule>")
    return f"<CORSConfiguration>{''.join(rules)}</CORSConfiguration>".encode()


def settings(rng: random.Random, pool: Pool) -> bytes:
    roots = [("CreateBucketConfiguration", "LocationConstraint"), ("VersioningConfiguration", "Status")]
    root, leaf = rng.choice([*roots, ("AccessControlPolicy", "Owner"), ("Other", "x")])
    return f"<{root}><{leaf}>{escape(rng.choice(['Enabled', 'Suspended', word(rng)]))}</{leaf}></{root}>".encode()


def laughs(rng: random.Random, pool: Pool) -> bytes:
    """Entities that would grow without bound."""
    lines = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
    body = b"<Delete><Object><Key>&l9;</Key></Object></Delete>"
    return f"<?xml version='1.0'?><!DOCTYPE d [<!ENTITY l0 'lol'>{lines}]>".encode() + body


def outside(rng: random.Random, pool: Pool) -> bytes:
    """An entity that names a file or a server."""
    kind = rng.choice(["<!ENTITY x SYSTEM 'file:///etc/passwd'>", "<!ENTITY % x SYSTEM 'http://127.0.0.1:1/'> %x;"])
    return f"<!DOCTYPE d [{kind}]><Delete><Object><Key>&x;</Key></Object></Delete>".encode()


def deep(rng: random.Random, pool: Pool) -> bytes:
    depth = rng.choice([100, 5_000, 200_000])
    return b"<Delete>" + b"<a>" * depth + rng.choice([b"", b"</a>" * depth]) + b"</Delete>"


def wide(rng: random.Random, pool: Pool) -> bytes:
    return b"<Delete>" + b"<Object><Key>k</Key></Object>" * rng.choice([999, 1000, 1001, 20_000]) + b"</Delete>"


def attributes(rng: random.Random, pool: Pool) -> bytes:
    many = "".join(f" a{n}='{n}'" for n in range(rng.choice([10, 10_000])))
    return f"<Delete{many}><Object><Key>k</Key></Object></Delete>".encode()


def encoded(rng: random.Random, pool: Pool) -> bytes:
    """A body in another encoding, with or without saying so."""
    name = rng.choice(["utf-16", "utf-16-be", "utf-32", "latin-1", "utf-7", "cp037", "utf-8-sig", "shift_jis"])
    said = rng.choice([name, "UTF-8", "x-none", ""])
    head = f'<?xml version="1.0" encoding="{said}"?>' if said else ""
    return f"{head}<Delete><Object><Key>k{rng.choice(['', 'é'])}</Key></Object></Delete>".encode(name, "replace")


ODD = (
    *(b"", b"\x00", b"<", b"<a/>", b"<?xml?>", b"<Delete/><Delete/>", b"<Delete><![CDATA[<Object>]]></Delete>"),
    b"<Delete><Object><Key><![CDATA[k]]></Key></Object></Delete>",
    b"<Delete><Object><Key>k<!-- c --></Key></Object></Delete>",
    b"<Delete><Object><Key>k<b/>l</Key></Object></Delete>",
    b"<Delete><Object><Key>&#0;</Key></Object></Delete>",
    b"<Delete><Object><Key>&#x1;&#xFFFF;&#x110000;&#99999999;</Key></Object></Delete>",
    b"<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
    b"<x:Delete xmlns:x='y'><x:Object><x:Key>k</x:Key></x:Object></x:Delete>",
    b"<x:Delete><Object/></x:Delete>",
    b"<Delete xmlns='urn:other'><Object><Key>k</Key></Object></Delete>",
    b"<?xml-stylesheet href='x'?><Delete/>",
    b"<Delete>" + b" " * 70_000 + b"</Delete>",
    b"<Delete><Object><Key>" + b"k" * 2000 + b"</Key></Object></Delete>",
)


def odd(rng: random.Random, pool: Pool) -> bytes:
    return rng.choice(ODD)


USUAL: tuple[Make, ...] = (delete, complete, tagging, cors, settings)
HOSTILE: tuple[Make, ...] = (laughs, outside, deep, wide, attributes, encoded, odd, odd)


def body(rng: random.Random, pool: Pool) -> bytes:
    """Return any XML body; now and then with bytes of it changed."""
    made = rng.choice(USUAL if rng.random() < 0.65 else HOSTILE)(rng, pool)
    return spoil(rng, made) if rng.random() < 0.3 else made


def _some(rng: random.Random, name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if rng.random() < 0.15 else ""
