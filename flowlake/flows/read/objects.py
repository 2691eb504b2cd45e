"""One flow log object, whatever it is: opens it, sees what it is, and streams its blocks in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from flowlake.flows.read.block import Block, reject_text, torn_gzip
from flowlake.flows.read.envelopes import EnvelopeReader, EventLister
from flowlake.flows.read.formats import parse_format
from flowlake.flows.read.inflate import GZIP_MAGIC, Inflated, Readable
from flowlake.flows.read.lines import LineReader
from flowlake.flows.read.parquet import PARQUET_MAGIC, read_parquet
from flowlake.flows.read.split import count_lines
from flowlake.flows.read.text import BYTE_ORDER_MARK, LONGEST_LINE, Lines

READ_BYTES = 1 << 18
HEAD_BYTES = 1 << 10  # within which the first character stands
DEEPEST = 3  # gzip within gzip: CloudWatch zips what it sends, Firehose may zip again what it stores


class Peeked:
    """A stream whose first bytes can be looked at before they are read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._head = b""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size:
            more = self._stream.read(size - len(self._head))
            if not more:
                break
            self._head += more
        return self._head[:size]

    def read(self, size: int, /) -> bytes:
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._stream.read(size)


def read_blocks(
    stream: BinaryIO,
    name: str,
    *,
    format: str | None = None,
    columns: Collection[str] | None = None,
    block_bytes: int = 16 << 20,
    repeats: Iterable[int] | None = None,
) -> Iterator[Block]:
    """The blocks of one flow log object.

    stream is read once from front to back; name is for messages; format is a format string for objects without a
    header; columns are the wanted fields (None: all), which alone are checked and returned; repeats are the places
    (from 0, ascending) of the events of CloudWatch to leave out, as read_events numbers them (None: those that stand
    twice in the object). Raises NotAFlowLog where nothing in the object is a flow log, BadFormat where the format is
    none, and whatever the stream itself raises.
    """
    given = parse_format(format) if format is not None else None
    source, layers = _inflated(stream)
    reader = LineReader(name, given, columns)
    if source.peek(HEAD_BYTES).startswith(PARQUET_MAGIC):
        yield from read_parquet(source, name, columns)
    elif _is_json(source):
        yield from EnvelopeReader(reader, columns, block_bytes, repeats).read(source, lambda: _torn(layers))
    else:
        yield from _text_blocks(source, layers, reader, block_bytes)


def read_events(stream: BinaryIO) -> Iterator[npt.NDArray[np.uint64]]:
    """The events of CloudWatch in one object, of which each has an id: digests in order, a row of two words each.

    Equal digests are equal events. An object that has none in its first part (256 KiB) is taken for one without.
    """
    source, _ = _inflated(stream)
    if _is_json(source):
        yield from EventLister().read(source)


def _inflated(stream: BinaryIO) -> tuple[Peeked, list[Inflated]]:
    """The content, and the layers of gzip around it, the outer ones first."""
    layers: list[Inflated] = []
    source = Peeked(stream)
    while len(layers) < DEEPEST and source.peek(2) == GZIP_MAGIC:
        layers.append(Inflated(source))
        source = Peeked(layers[-1])
    return source, layers


def _is_json(source: Peeked) -> bool:
    return source.peek(HEAD_BYTES).removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")


def _text_blocks(source: Readable, layers: list[Inflated], reader: LineReader, block_bytes: int) -> Iterator[Block]:
    number = 1
    before = unended = b""
    for data in whole_lines(source, block_bytes):
        number += count_lines(before)
        if not data.endswith(b"\n"):
            if _torn(layers):  # half a line may look whole: it belongs to what was lost
                end = data.rfind(b"\n") + 1
                data, unended = data[:end], data[end:]
            else:
                data += b"\n"
        if data:
            yield from reader.read(Lines(data, number))
        before = data
    words = _torn(layers)
    yield from reader.finish(None if words is None else torn_gzip(words, reject_text(unended)))


def _torn(layers: list[Inflated]) -> str | None:
    return next((layer.torn for layer in layers if layer.torn is not None), None)


def whole_lines(source: Readable, block_bytes: int) -> Iterator[bytes]:
    """The content cut at line ends into blocks of about block_bytes; only the last one may end within a line.

    A line that is too long to be one is cut short, so that memory stays bounded; it is still seen to be too long.
    """
    pieces: list[bytes] = []
    size = 0
    skipping = False
    while chunk := source.read(READ_BYTES):
        if skipping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, skipping = chunk[end:], False
        pieces.append(chunk)
        size += len(chunk)
        if size < block_bytes:
            continue
        rest: list[bytes] = []
        while pieces and (end := pieces[-1].rfind(b"\n") + 1) == 0:
            rest.insert(0, pieces.pop())
        if pieces:
            last = pieces.pop()
            rest.insert(0, last[end:])
            yield b"".join([*pieces, last[:end]])
        head = b"".join(rest)
        if len(head) > LONGEST_LINE:
            head, skipping = head[: LONGEST_LINE + 1], True
        pieces, size = [head], len(head)
    data = b"".join(pieces)
    if data:
        yield data
