"""Flow logs inside JSON: as CloudWatch Logs, Firehose, Lambda and others pass them on.

What is opened:
- CloudWatch Logs subscriptions: {"messageType": "DATA_MESSAGE", "logEvents": [{"id": …, "message": …}]}, one document
  or several behind one another without anything between, as Firehose stores them; CONTROL_MESSAGE says nothing and
  is passed over; an event that stood before is left out (see repeats in flowlake/flows). The lines of each log group
  are read apart: each is of a flow log of its own. Of a document that breaks off the events before that are read.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
- Flow logs straight to Firehose: {"message": "…"}, on lines or behind one another.
- Events of Lambda that hold such content in base64, perhaps gzip: Firehose transformations ("records": [{"data": …}]),
  CloudWatch Logs ("awslogs": {"data": …}), Kinesis ("Records": [{"kinesis": {"data": …}}]).
- Records as JSON objects with the fields' names as keys, alone or in arrays; each set of keys is a format of its own.
Lines that are no JSON are read as lines.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.read.block import Block, LogGroup, NotAFlowLog, Reject, reject_text, torn_gzip
from flowlake.flows.read.formats import Format, canonical
from flowlake.flows.read.inflate import GZIP_MAGIC, Inflated, Readable
from flowlake.flows.read.lines import LineReader, Progress
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
# How log groups and the accounts that own them may be called.
GROUP_NAME = re.compile(r"[A-Za-z0-9._/#-]{1,512}", re.ASCII)
OWNER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
DIGEST_BYTES = 16
EVENTS_AT_ONCE = 1 << 16
# How far an object is looked into for a first event before it is taken for one that has none.
PEEKED_BYTES = 1 << 18
# How much of a document the parser may leave unread and still have failed for want of more (a cut escape or word).
CUT_WORD = 16
# What a subscription says before its events, so that they can be read though the document breaks off among them.
HEAD = frozenset({"messageType", "owner", "logGroup", "logStream"})
SIGNS = {sign: re.compile(rf"[ \t\r\n]*{re.escape(sign)}[ \t\r\n]*") for sign in "{:,["}


@dataclass(frozen=True)
class Unreadable:
    """A piece of content that is no JSON document though it begins like one."""

    text: str


class Opener:
    """Opens the envelopes of one object, document by document. What becomes of that which is in them, those say who
    derive from it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def add_lines(self, content: bytes, number: int, group: LogGroup | None = None) -> None:
        """Lines of flow logs; number is that of the line where their document begins."""

    def add_record(self, record: dict[str, Any], number: int) -> None:
        """A record as a JSON object."""

    def reject(self, document: Any, number: int, group: LogGroup | None = None) -> None:
        """What can't be opened."""

    def is_repeated(self, stream: hashlib.blake2b, event_id: object, message: bytes) -> bool:
        """Whether an event with an id is to be left out. Asked once for each, in their order; see digest_of."""
        raise NotImplementedError

    def leave_out(self, group: LogGroup | None) -> None:
        """An event that is repeated."""

    def open(self, document: Any, number: int, depth: int = 0) -> None:
        if isinstance(document, bytes):
            self.add_lines(document, number)
        elif isinstance(document, list) and depth < DEEPEST:
            for item in document:
                self.open(item, number, depth + 1)
        elif isinstance(document, dict):
            self._open_object(document, number, depth)
        else:
            self.reject(document, number)

    def _open_object(self, document: dict[str, Any], number: int, depth: int) -> None:
        if isinstance(document.get("messageType"), str):
            self._open_subscription(document, number)
        elif isinstance(document.get("message"), str):
            self.progress.recognised = True
            self.add_lines(_bytes(document["message"]), number)
        elif isinstance(document.get("awslogs"), dict):
            self._open_base64(document["awslogs"].get("data"), number, depth)
        elif isinstance(records := document.get("records", document.get("Records")), list):
            for record in records:
                holder = record if isinstance(record, dict) else {}
                inner = holder.get("kinesis") if isinstance(holder.get("kinesis"), dict) else holder
                self._open_base64(inner.get("data") if isinstance(inner, dict) else None, number, depth)
        elif format_of_columns(list(document)) is not None:
            self.progress.recognised = True
            self.add_record({canonical(key): value for key, value in document.items()}, number)
        else:
            self.reject(document, number)

    def _open_subscription(self, document: dict[str, Any], number: int) -> None:
        self.progress.recognised = True
        if document["messageType"] == "CONTROL_MESSAGE":
            return
        group = _group_of(document)
        events = document.get("logEvents")
        if not isinstance(events, list):
            self.reject(document, number, group)
            return
        stream = hashlib.blake2b(
            json.dumps([str(document.get(name)) for name in ("owner", "logGroup", "logStream")]).encode(),
            digest_size=DIGEST_BYTES,
        )
        for event in events:
            message = event.get("message") if isinstance(event, dict) else None
            if not isinstance(message, str):
                self.reject(event, number, group)
                continue
            content = _bytes(message)
            event_id = event.get("id")
            if event_id is not None and self.is_repeated(stream, event_id, content):
                self.leave_out(group)
            else:
                self.add_lines(content, number, group)

    def _open_base64(self, data: Any, number: int, depth: int) -> None:
        content = _decoded(data)
        if content is None or depth >= DEEPEST:
            self.reject(data, number)
            return
        self.progress.recognised = True
        if content.lstrip()[:1] in (b"{", b"["):
            for _, document in documents(io.BytesIO(content)):
                self.open(document, number, depth + 1)
        else:
            self.add_lines(content, number)


def digest_of(stream: hashlib.blake2b, event_id: object, message: bytes) -> bytes:
    """The same for events that are the same: of one stream, with one id and one message. stream: what its account, log
    group and name hash to.

    Ids are CloudWatch's and unique; where a writer of envelopes repeats one with another message, it is another
    record, which is not to be lost.
    """
    hashed = stream.copy()
    hashed.update(b"%d:%b%b" % (len(message), message, _bytes(str(event_id))))
    return hashed.digest()


def _group_of(subscription: dict[str, Any]) -> LogGroup | None:
    """The log group that a subscription names; None where it names none."""
    owner, name = subscription.get("owner"), subscription.get("logGroup")
    if not isinstance(name, str) or not GROUP_NAME.fullmatch(name):
        return None
    return LogGroup(owner if isinstance(owner, str) and OWNER.fullmatch(owner) else "", name)


@dataclass
class Taken:
    """What was taken out of the envelopes of one log group, or of none, and is not read yet.

    repeated: events that were left out.
    """

    lines: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    repeated: int = 0


@dataclass
class Batch:
    """Lines and records taken out of envelopes, not yet read."""

    groups: dict[LogGroup | None, Taken] = field(default_factory=dict)
    size: int = 0
    objects: list[dict[str, Any]] = field(default_factory=list)
    object_numbers: list[int] = field(default_factory=list)

    latest: tuple[LogGroup | None, Taken] | None = None

    def of(self, group: LogGroup | None) -> Taken:
        if self.latest is not None and self.latest[0] is group:  # as are most: they come in the order of documents
            return self.latest[1]
        taken = self.groups.setdefault(group, Taken())
        self.latest = group, taken
        return taken


class EnvelopeReader(Opener):
    """Opens the envelopes of one object and reads what is in them, batch after batch.

    repeats: which of the object's events with ids (numbered from 0, ascending) are to be left out; null where nobody
    has looked: then those that stood before in the object.
    """

    def __init__(
        self,
        reader: LineReader,
        wanted: Collection[str] | None,
        block_bytes: int,
        repeats: Iterable[int] | None = None,
    ) -> None:
        super().__init__(reader.progress)
        self._reader = reader
        self._readers: dict[LogGroup | None, LineReader] = {None: reader}
        self._wanted = wanted
        self._block_bytes = block_bytes
        self._batch = Batch()
        self._formats: dict[frozenset[str], Format] = {}
        self._seen: set[bytes] = set()
        self._repeats = None if repeats is None else iter(repeats)
        self._next_repeat = None if self._repeats is None else next(self._repeats, None)
        self._events = 0

    def read(self, source: Readable, torn: Callable[[], str | None]) -> Iterator[Block]:
        """The blocks of an object. torn says, after the end, in which way the object ended early.

        Raises NotAFlowLog where nothing in the object is a flow log.
        """
        last: tuple[int, Any] | None = None
        for numbered in documents(source):
            if last is not None:
                self.open(last[1], last[0])
            last = numbered
            if self._batch.size >= self._block_bytes:
                yield from self._flush()
        words = torn()
        lost = last is not None and words is not None and isinstance(last[1], bytes | Unreadable)
        if last is not None and not lost:
            self.open(last[1], last[0])
        yield from self._flush()
        unended = _text_of(last[1]) if last is not None and lost else ""
        yield from self._reader.finish(None if words is None else torn_gzip(words, unended))

    def _flush(self) -> Iterator[Block]:
        batch, self._batch = self._batch, Batch()
        for block in self._read_objects(batch):
            self.progress.blocks += 1
            yield block
        unknown: dict[LogGroup | None, NotAFlowLog] = {}
        for group in batch.groups:
            try:
                yield from self._read_group(group, batch.groups[group])
            except NotAFlowLog as error:
                unknown[group] = error
        if unknown and not self.progress.blocks:
            raise next(iter(unknown.values()))
        for group in unknown:
            yield from self._read_group(group, batch.groups[group])

    def _read_objects(self, batch: Batch) -> list[Block]:
        """Records that came as JSON objects: a block for each set of keys, so that it makes no difference which of them
        a batch holds together. A format has its fields in the order of the first object. Rejects stand in the order of
        lines, in the last block.
        """
        by_keys: dict[frozenset[str], list[int]] = {}
        for place, row in enumerate(batch.objects):
            by_keys.setdefault(frozenset(row), []).append(place)
        blocks = []
        for keys, places in by_keys.items():
            form = self._formats.setdefault(keys, Format(tuple(batch.objects[places[0]])))
            rows = [batch.objects[place] for place in places]
            arrays = {
                name: pa.array([token_of(row[name], name).encode("utf-8") for row in rows], pa.binary())
                for name in form.readable()
            }
            blocks.append(read_rows(arrays, form, [batch.object_numbers[place] for place in places], self._wanted))
        return _rejects_last(blocks)

    def _read_group(self, group: LogGroup | None, taken: Taken) -> Iterator[Block]:
        reader = self._reader_of(group)
        repeated = taken.repeated
        if taken.lines or reader.waiting:
            lines = Lines(b"".join(line + b"\n" for line in taken.lines), np.array(taken.numbers, dtype=np.int64))
            for block in reader.read(lines):
                yield replace(block, repeated=repeated, group=group)
                repeated = 0
        if repeated:
            reader.progress.blocks += 1
            yield replace(reader.nothing(), repeated=repeated, group=group)

    def _reader_of(self, group: LogGroup | None) -> LineReader:
        if group not in self._readers:
            self._readers[group] = self._reader.another()
        return self._readers[group]

    def is_repeated(self, stream: hashlib.blake2b, event_id: object, message: bytes) -> bool:
        place = self._events
        self._events += 1
        if self._repeats is not None:
            if place != self._next_repeat:
                return False
            self._next_repeat = next(self._repeats, None)
            return True
        digest = digest_of(stream, event_id, message)
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False

    def leave_out(self, group: LogGroup | None) -> None:
        self._batch.of(group).repeated += 1

    def add_lines(self, content: bytes, number: int, group: LogGroup | None = None) -> None:
        taken = self._batch.of(group)
        for line in content.split(b"\n"):
            if line.strip():
                taken.lines.append(line)
                taken.numbers.append(number)
                self._batch.size += len(line) + 1

    def add_record(self, record: dict[str, Any], number: int) -> None:
        self._batch.objects.append(record)
        self._batch.object_numbers.append(number)
        self._batch.size += 32 * len(record)

    def reject(self, document: Any, number: int, group: LogGroup | None = None) -> None:
        text = reject_text(_bytes(_text_of(document)))
        self._batch.of(group)
        self._batch.size += len(text)
        self._reader_of(group).reject(Reject(number, "bad_envelope", text))


class EventLister(Opener):
    """Lists the events of one object that have an id, in the order in which a reader is to ask for them."""

    def __init__(self) -> None:
        super().__init__(Progress())
        self._digests = bytearray()

    def read(self, source: Readable) -> Iterator[npt.NDArray[np.uint64]]:
        """Digests of events, a row of two words each, some at a time. Of an object whose first part has no event only
        that part is read.
        """
        counted = _Counted(source)
        none_yet = True
        for number, document in documents(counted):
            self.open(document, number)
            none_yet = none_yet and not self._digests
            if none_yet and counted.taken > PEEKED_BYTES:
                return
            if len(self._digests) >= EVENTS_AT_ONCE * DIGEST_BYTES:
                yield self._take()
        if self._digests:
            yield self._take()

    def is_repeated(self, stream: hashlib.blake2b, event_id: object, message: bytes) -> bool:
        self._digests += digest_of(stream, event_id, message)
        return False

    def _take(self) -> npt.NDArray[np.uint64]:
        taken, self._digests = self._digests, bytearray()
        return np.frombuffer(taken, dtype="<u8").reshape(-1, DIGEST_BYTES // 8)


class _Counted:
    """A stream of which it is known how many bytes were read."""

    def __init__(self, source: Readable) -> None:
        self.taken = 0
        self._source = source

    def read(self, size: int, /) -> bytes:
        content = self._source.read(size)
        self.taken += len(content)
        return content


def _rejects_last(blocks: list[Block]) -> list[Block]:
    """The same blocks, with the rejects of all in the last one, in the order of lines."""
    if len(blocks) < 2 or not any(block.rejects.num_rows for block in blocks[:-1]):
        return blocks
    rejects = pa.concat_tables([block.rejects for block in blocks]).sort_by("line")
    whole = [replace(block, rejects=rejects.slice(0, 0), lines=block.records.num_rows) for block in blocks]
    return [*whole[:-1], replace(whole[-1], rejects=rejects, lines=whole[-1].lines + rejects.num_rows)]


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
    next line or the next message, or to the end where it is cut there. Before it comes what is whole of a subscription.
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
            cut = _may_be_cut(error, text)
            if cut and text.more():
                continue
            number = text.number
            whole = _whole_events(decoder, text.content, text.place)
            if whole is not None:
                yield number, whole[0]
                text.advance(whole[1])
            yield number, Unreadable(text.take_rest() if cut and whole else text.take_until(NEXT_DOCUMENT))
        else:
            yield text.number, document
            text.advance(end)


def _whole_events(decoder: json.JSONDecoder, content: str, place: int) -> tuple[dict[str, Any], int] | None:
    """Of a subscription that breaks off among its events or behind them: the document with the events that are whole,
    and where the rest begins. None where it does not say before them whose they are.
    """
    document: dict[str, Any] = {}
    try:
        place = _behind("{", content, place)
        while True:
            name, place = decoder.raw_decode(content, place)
            if not isinstance(name, str):
                return None
            place = _behind(":", content, place)
            if name == "logEvents":
                break
            document[name], place = decoder.raw_decode(content, place)
            place = _behind(",", content, place)
        place = _behind("[", content, place)
    except (ValueError, RecursionError):
        return None
    if not document.keys() >= HEAD or not isinstance(document["messageType"], str):
        return None
    events: list[dict[str, Any]] = []
    rest = place
    try:
        while True:
            event, place = decoder.raw_decode(content, place)
            if not isinstance(event, dict):  # half a number looks whole
                break
            events.append(event)
            rest = place
            rest = place = _behind(",", content, place)
    except (ValueError, RecursionError):
        pass  # this is where it breaks off
    return {**document, "logEvents": events}, rest


def _behind(sign: str, content: str, place: int) -> int:
    """The place behind the sign and the blank around it. Raises ValueError where it does not stand there."""
    found = SIGNS[sign].match(content, place)
    if found is None:
        raise ValueError(f"no {sign}")
    return found.end()


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

    def take_rest(self) -> str:
        """All that is at hand; of very much only the begin."""
        taken = self.content[self.place : self.place + LONGEST_SHOWN]
        self.advance(len(self.content))
        return taken

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
