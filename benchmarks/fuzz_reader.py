"""Millions of generated lines through the reader: random bytes, cut lines, mixed formats, in every wrapping.

    python -m benchmarks.fuzz_reader --lines 10000000

Held to: no crash; every line is a record or a reject and none is counted twice (against the generator's own count);
rejects have a known reason and short text; and, for a share of the objects, the careful way gives the same rows.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files

from flowlake.flows.read import NotAFlowLog, read_blocks
from flowlake.flows.read.formats import FIELD_TYPES, VPC_FIELDS, Format
from flowlake.flows.read.text import Layout, Lines, read_lines

REASONS = frozenset(json.loads(files("flowlake.flows").joinpath("reject_reasons.json").read_text("utf-8")))
V2 = tuple(VPC_FIELDS)[:14]
V5 = tuple(VPC_FIELDS)[:29]
ADDRESSES = ("10.0.0.1", "172.31.16.139", "2001:db8::1", "203.0.113.12", "1.2.3", "-", "::ffff:10.0.0.1", "10.0.0.256")
TEXTS = ("eni-1235b8ca123456789", "vpc-1", "-", "S3", "ingress", "unknown", "a#b", "0x1f", '"', "ä", "arn:aws:ecs:x")
NUMBERS = (
    "0",
    "6",
    "22",
    "443",
    "65535",
    "65536",
    "-1",
    "-",
    "4249",
    "9223372036854775808",
    "0x10",
    "1.5",
    "1418530010",
)
LINES_AN_OBJECT = 50_000


@dataclass(frozen=True)
class Object:
    """A generated object, how many data lines are in it, and what the reader is told about it."""

    content: bytes
    lines: int
    format: str | None
    plain: bytes
    layout: Layout | None


def value(chance: random.Random, field: str, wild: bool) -> str:
    if not wild and chance.random() < 0.98:
        if field.endswith("addr"):
            return chance.choice(ADDRESSES[:4])
        if field in ("start", "end"):
            return str(1418530010 + (field == "end") * 60)
        if field in ("action", "log_status"):
            return "ACCEPT" if field == "action" else chance.choice(("OK", "OK", "OK", "NODATA", "SKIPDATA"))
        return str(chance.randrange(256)) if FIELD_TYPES[field] != "string" else chance.choice(TEXTS[:5])
    return chance.choice(chance.choice((ADDRESSES, TEXTS, NUMBERS)))


def good(chance: random.Random, fields: tuple[str, ...]) -> bytes:
    return " ".join(value(chance, field, False) for field in fields).encode()


def generated(chance: random.Random, fields: tuple[str, ...], known: list[bytes]) -> bytes:
    """One line: often good, else cut, of another format, with bytes changed, or nothing but bytes. No newline in it."""
    kind = chance.random()
    if kind < 0.45:
        return chance.choice(known)
    if kind < 0.55:
        return good(chance, fields)
    if kind < 0.63:
        return chance.randbytes(chance.randrange(120)).replace(b"\n", b"")
    line = chance.choice(known)
    if kind < 0.71:
        return line[: chance.randrange(len(line) + 1)]
    if kind < 0.79:
        place = chance.randrange(len(line))
        return line[:place] + chance.randbytes(1).replace(b"\n", b" ") + line[place + 1 :]
    if kind < 0.87:
        return " ".join(value(chance, field, True) for field in fields).encode()
    if kind < 0.93:
        other = chance.choice((V2, V5, ("srcaddr", "dstaddr"), fields[::-1]))
        return good(chance, other)
    if kind < 0.98:
        return line.replace(b" ", chance.choice((b"  ", b"\t", b",", b"\x00")), chance.randrange(1, 4))
    return chance.choice(
        (b"", b"   ", b"# comment", line + b" # comment", line + b"\r", b"{}", b'{"message": 1}', b"[1]")
    )


def counts(line: bytes) -> bool:
    """Whether a line is one: not blank, not a comment (our own statement of the rule, on purpose)."""
    text = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r").replace(b"\t", b" ")
    if any(byte < 32 for byte in text):
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return not text.lstrip(b" ").startswith(b"#") and bool(text.strip(b" "))


def make_object(chance: random.Random, lines: int) -> Object:
    fields = chance.choice((V2, V5, tuple(chance.sample(sorted(VPC_FIELDS), chance.randrange(2, 20)))))
    header = " ".join(fields).replace("_", "-").encode()
    known = [good(chance, fields) for _ in range(500)]
    body = [generated(chance, fields, known) for _ in range(lines)]
    total = sum(map(counts, body))
    for _ in range(chance.choice((0, 0, 5))):
        body.insert(chance.randrange(len(body)), header)
    with_header = chance.random() < 0.7
    wrapping = chance.choice(("plain", "plain", "gzip", "members", "torn", "messages"))
    plain = b"\n".join(([header] if with_header else [b"%s" % known[0]]) + body)
    total += not with_header
    given = None if with_header else header.decode()
    if wrapping == "messages":
        content = b"".join(
            json.dumps({"message": line.decode("latin-1").encode("ascii", "ignore").decode()}).encode() for line in body
        )
        return Object(content, -1, header.decode(), b"", None)
    if wrapping == "torn":
        packed = gzip.compress(plain, 1)
        return Object(packed[: chance.randrange(20, len(packed))], -1, given, b"", None)
    if wrapping == "members":
        middle = chance.randrange(len(plain))
        return Object(gzip.compress(plain[:middle], 1) + gzip.compress(plain[middle:], 1), total, given, plain, None)
    content = gzip.compress(plain, 1) if wrapping == "gzip" else plain
    return Object(content, total, given, plain, Layout(Format(fields)))


def check(made: Object, chance: random.Random, tally: Counter[str]) -> None:
    seen = 0
    try:
        for block in read_blocks(
            io.BytesIO(made.content),
            "fuzz",
            format=made.format,
            block_bytes=chance.choice((1 << 12, 1 << 20, 16 << 20)),
        ):
            rejects = block.rejects.to_pylist()
            placed = sum(reject["line"] is not None for reject in rejects)
            assert block.lines == block.records.num_rows + placed, "a line is lost or counted twice"
            assert all(reject["reason"] in REASONS and len(reject["text"]) <= 1000 for reject in rejects)
            seen += block.lines
            tally.update(reject["reason"] for reject in rejects)
            tally["records"] += block.records.num_rows
    except NotAFlowLog:
        tally["objects that are no flow log"] += 1
        assert made.lines < 0, "an object with a header or a format was not read"
    assert made.lines in (-1, seen), f"{seen} lines read, {made.lines} made"
    tally["lines"] += seen


def compare(made: Object) -> None:
    """The fast and the careful way over the same lines."""
    if made.layout is None:
        return
    lines = Lines(made.plain[: 1 << 19].rpartition(b"\n")[0] + b"\n", 1)
    fast = read_lines(lines, made.layout)
    careful = read_lines(lines, made.layout, careful=True)
    assert fast.records.to_pylist() == careful.records.to_pylist()
    assert (fast.rejects, fast.lines) == (careful.rejects, careful.lines)


def run(lines: int, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    tally: Counter[str] = Counter()
    while tally["generated"] < lines:
        size = min(LINES_AN_OBJECT, lines - tally["generated"])
        made = make_object(chance, size)
        check(made, chance, tally)
        if chance.random() < 0.05:
            compare(made)
            tally["objects read both ways"] += 1
        tally["generated"] += size
        tally["objects"] += 1
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    tally = run(options.lines, options.seed)
    print(json.dumps(dict(tally.most_common()), indent=1))
    seconds = time.monotonic() - started
    print(f"{tally['generated']:,} lines generated in {seconds:,.0f} s: no crash, every line accounted for")


if __name__ == "__main__":
    main()
