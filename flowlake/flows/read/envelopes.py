"""Flow logs inside JSON: as CloudWatch Logs, Firehose, Lambda and others pass them on.

What is opened:
- CloudWatch Logs subscriptions: {"messageType": "DATA_MESSAGE", "logEvents": [{"id": …, "message": …}]}, one document
  or several behind one another without anything between, as Firehose stores them; CONTROL_MESSAGE says nothing and
  is passed over; an event id that comes again within an object is left out.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
- Flow logs straight to Firehose: {"message": "…"}, on lines or behind one another.
- Events of Lambda that hold such content in base64, perhaps gzip: Firehose transformations ("records": [{"data": …}]),
  CloudWatch Logs ("awslogs": {"data": …}), Kinesis ("Records": [{"kinesis": {"data": …}}]).
- Records as JSON objects with the fields' names as keys, alone or in arrays.
Lines that are no JSON are read as lines.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from flowlake.flows.read.block import Block, Reject, reject_text, torn_gzip
from flowlake.flows.read.formats import Format, canonical
from flowlake.flows.read.inflate import GZIP_MAGIC, Inflated, Readable
from flowlake.flows.read.lines import LineReader
from flowlake.flows.read.parquet import format_of_columns
from flowlake.flows.read.text import LONGEST_LINE, Lines
from flowlake.flows.read.typed import read_rows, token_of

READ_BYTES = 1 << 18
LONGEST_DOCUMENT = 32 << 20
LONGEST_INFLATED = 64 << 20  # of one base64 record
DEEPEST = 3  # envelopes within envelopes
BLANK = re.compile(r"[ \t\r\n\0\ufeff]*")
NEXT_DOCUMENT = re.compile(r'\n|\{\s*"message')
LINE_END = re.compile("\n")
# A message of Firehose without escapes, and the blank behind it: all of them are, and this is ten times as fast.
SIMPLE_MESSAGE = re.compile(r'\{"message":[ ]?"([^"\\\x00-\x1f]*)"\}([ \t\r\n]*)')
LONGEST_PATTERN = 64
LONGEST_SHOWN = 2 * LONGEST_LINE
# How much of a document the parser may leave unread and still have failed for want of more (a cut escape or word).
CUT_WORD = 16


@dataclass(frozen=True)
class Unreadable:
    """A piece of content that is no JSON document though it begins like one."""

    text: str


@dataclass
class Batch:
    """Lines and records taken out of envelopes, not yet read."""

    lines: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0
    objects: list[dict[str, Any]] = field(default_factory=list)
    object_numbers: list[int] = field(default_factory=list)


class EnvelopeReader:
    """Opens the envelopes of one object and reads what is in them, batch after batch."""

    def __init__(self, reader: LineReader, wanted: Collection[str] | None, block_bytes: int) -> None:
        self._reader = reader
        self._wanted = wanted
        self._block_bytes = block_bytes
        self._batch = Batch()
        self._seen: set[int] = set()
        self._repeated = 0

    def read(self, source: Readable, torn: Callable[[], str | None]) -> Iterator[Block]:
        """The blocks of an object. torn says, after the end, in which way the object ended early.

        Raises NotAFlowLog where nothing in the object is a flow log.
        """
        last: tuple[int, Any] | None = None
        for numbered in documents(source):
            if last is not None:
                self._open(last[1], last[0], 0)
            last = numbered
            if self._batch.size >= self._block_bytes:
                yield from self._flush()
        words = torn()
        lost = last is not None and words is not None and isinstance(last[1], bytes | Unreadable)
        if last is not None and not lost:
            self._open(last[1], last[0], 0)
        yield from self._flush()
        unended = _text_of(last[1]) if last is not None and lost else ""
        yield from self._reader.finish(None if words is None else torn_gzip(words, unended))

    def _flush(self) -> Iterator[Block]:
        batch, self._batch = self._batch, Batch()
        if batch.objects:
            self._reader.blocks += 1
            yield _read_objects(batch, self._wanted)
        if batch.lines or self._reader.waiting:
            lines = Lines(b"".join(line + b"\n" for line in batch.lines), np.array(batch.numbers, dtype=np.int64))
            for block in self._reader.read(lines):
                yield replace(block, repeated=self._repeated)
                self._repeated = 0

    def _open(self, document: Any, number: int, depth: int) -> None:
        if isinstance(document, bytes):
            self._add_lines(document, number)
        elif isinstance(document, list) and depth < DEEPEST:
            for item in document:
                self._open(item, number, depth + 1)
        elif isinstance(document, dict):
            self._open_object(document, number, depth)
        else:
            self._reject(document, number)

    def _open_object(self, document: dict[str, Any], number: int, depth: int) -> None:
        if isinstance(document.get("messageType"), str):
            self._open_subscription(document, number)
        elif isinstance(document.get("message"), str):
            self._reader.recognised = True
            self._add_lines(_bytes(document["message"]), number)
        elif isinstance(document.get("awslogs"), dict):
            self._open_base64(document["awslogs"].get("data"), number, depth)
        elif isinstance(records := document.get("records", document.get("Records")), list):
            for record in records:
                holder = record if isinstance(record, dict) else {}
                inner = holder.get("kinesis") if isinstance(holder.get("kinesis"), dict) else holder
                self._open_base64(inner.get("data") if isinstance(inner, dict) else None, number, depth)
        elif format_of_columns(list(document)) is not None:
            self._reader.recognised = True
            self._batch.objects.append({canonical(key): value for key, value in document.items()})
            self._batch.object_numbers.append(number)
            self._batch.size += 32 * len(document)
        else:
            self._reject(document, number)

    def _open_subscription(self, document: dict[str, Any], number: int) -> None:
        self._reader.recognised = True
        if document["messageType"] == "CONTROL_MESSAGE":
            return
        events = document.get("logEvents")
        if not isinstance(events, list):
            self._reject(document, number)
            return
        source = (str(document.get("owner")), str(document.get("logGroup")), str(document.get("logStream")))
        for event in events:
            message = event.get("message") if isinstance(event, dict) else None
            if not isinstance(message, str):
                self._reject(event, number)
                continue
            if event.get("id") is not None:
                key = hash((*source, str(event["id"])))
                if key in self._seen:
                    self._repeated += 1
                    continue
                self._seen.add(key)
            self._add_lines(_bytes(message), number)

    def _open_base64(self, data: Any, number: int, depth: int) -> None:
        content = _decoded(data)
        if content is None or depth >= DEEPEST:
            self._reject(data, number)
            return
        self._reader.recognised = True
        if content.lstrip()[:1] in (b"{", b"["):
            for _, document in documents(io.BytesIO(content)):
                self._open(document, number, depth + 1)
        else:
            self._add_lines(content, number)

    def _add_lines(self, content: bytes, number: int) -> None:
        for line in content.split(b"\n"):
            if line.strip():
                self._batch.lines.append(line)
                self._batch.numbers.append(number)
                self._batch.size += len(line) + 1

    def _reject(self, document: Any, number: int) -> None:
        text = reject_text(_bytes(_text_of(document)))
        self._batch.size += len(text)
        self._reader.reject(Reject(number, "bad_envelope", text))


def _read_objects(batch: Batch, wanted: Collection[str] | None) -> Block:
    """Records that came as JSON objects; a field that an object lacks is null."""
    form = Format(tuple(dict.fromkeys(key for row in batch.objects for key in row)))
    arrays = {}
    for name in form.readable():
        tokens = [token_of(row.get(name), name) for row in batch.objects]
        arrays[name] = pa.array([token.encode("utf-8") for token in tokens], pa.binary())
    return read_rows(arrays, form, batch.object_numbers, wanted)


def _text_of(document: Any) -> str:
    """What to show of something that could not be opened."""
    if isinstance(document, Unreadable):
        return document.text
    if isinstance(document, bytes):
        return document.decode("utf-8", "surrogateescape")
    if isinstance(document, str):
        return document
    try:
        return json.dumps(document)
    except RecursionError:
        return "(JSON too deep to be shown)"


def _bytes(text: str) -> bytes:
    """The bytes that text was decoded from; for a lone surrogate out of a JSON escape bytes that are no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _decoded(data: Any) -> bytes | None:
    """What is in base64, inflated where it is gzip; None where it can't be had."""
    if not isinstance(data, str):
        return None
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    for _ in range(DEEPEST):
        if not content.startswith(GZIP_MAGIC):
            return content
        inflated = Inflated(io.BytesIO(content))
        pieces: list[bytes] = []
        size = 0
        while (piece := inflated.read(READ_BYTES)) and size <= LONGEST_INFLATED:
            pieces.append(piece)
            size += len(piece)
        if inflated.torn is not None or size > LONGEST_INFLATED:
            return None
        content = b"".join(pieces)
    return content


def documents(source: Readable) -> Iterator[tuple[int, Any]]:
    """JSON objects and arrays behind one another, each with the number of the line where it begins.

    A line that does not begin like one comes as bytes; what begins like one and is none comes as Unreadable, up to the
    next line or the next message.
    """
    decoder = json.JSONDecoder()
    text = _Text(source)
    while True:
        text.skip_blank()
        if text.at_end():
            return
        if text.content[text.place] not in "{[":
            number, line = text.number, text.take_until(LINE_END)
            yield number, _bytes(line)
            continue
        if simple := text.simple_messages():
            yield from simple
            continue
        try:
            document, end = decoder.raw_decode(text.content, text.place)
        except (ValueError, RecursionError) as error:
            if _may_be_cut(error, text) and text.more():
                continue
            number = text.number
            yield number, Unreadable(text.take_until(NEXT_DOCUMENT))
        else:
            yield text.number, document
            text.advance(end)


def _may_be_cut(error: Exception, text: _Text) -> bool:
    """Whether the parser may have failed for want of the document's rest."""
    if not isinstance(error, json.JSONDecodeError) or len(text.content) - text.place > LONGEST_DOCUMENT:
        return False
    return error.msg.startswith("Unterminated") or error.pos >= len(text.content) - CUT_WORD


class _Text:
    """The part of the content at hand, as text in which any bytes can be had back, and the place that was reached."""

    def __init__(self, source: Readable) -> None:
        self.content = ""
        self.place = 0
        self.number = 1
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False

    def more(self) -> bool:
        """Reads on, at least as much as there is of the document; False at the end."""
        if self._ended:
            return False
        pieces = [self.content[self.place :]]
        wanted = max(READ_BYTES, len(pieces[0]))
        while wanted > 0 and not self._ended:
            chunk = self._source.read(READ_BYTES)
            self._ended = not chunk
            pieces.append(self._decoder.decode(chunk, not chunk))
            wanted -= len(chunk)
        self.content, self.place = "".join(pieces), 0
        return True

    def at_end(self) -> bool:
        return self.place >= len(self.content) and self._ended

    def advance(self, end: int) -> None:
        self.number += self.content.count("\n", self.place, end)
        self.place = end

    def skip_blank(self) -> None:
        while True:
            found = BLANK.match(self.content, self.place)
            self.advance(found.end() if found else self.place)
            if self.place < len(self.content) or not self.more():
                return

    def simple_messages(self) -> list[tuple[int, Any]]:
        """The messages from here on that need no JSON parser, as documents."""
        found: list[tuple[int, Any]] = []
        match = SIMPLE_MESSAGE.match
        while message := match(self.content, self.place):
            found.append((self.number, {"message": message[1]}))
            self.number += message[2].count("\n")
            self.place = message.end()
        return found

    def take_until(self, pattern: re.Pattern[str]) -> str:
        """What comes before the pattern is found again behind this place; of very much only the begin."""
        taken = ""
        search_from = self.place + 1
        while True:
            found = pattern.search(self.content, search_from)
            if found or self._ended:
                end = found.start() if found else len(self.content)
                taken += self.content[self.place : end]
                self.advance(end)
                return taken[:LONGEST_SHOWN]
            # A pattern may begin within the last characters.
            kept = max(search_from, len(self.content) - LONGEST_PATTERN)
            taken = (taken + self.content[self.place : kept])[:LONGEST_SHOWN]
            self.advance(kept)
            self.more()
            search_from = self.place
