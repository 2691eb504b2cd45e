"""Lines of one object in order: settles their layout, reads them part by part, and keeps the count of lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa

from flowlake.flows.read.block import Block, NotAFlowLog, Reject, reject_text, rejects_table
from flowlake.flows.read.formats import Format
from flowlake.flows.read.text import (
    COMMA,
    SPACE,
    Layout,
    Lines,
    Part,
    empty_records,
    header_layout,
    layout_of_values,
    read_lines,
    tidy_line,
    v2_default_layout,
)

CAREFUL_BYTES = 1 << 13


@dataclass
class Progress:
    """What was seen of an object, by all who read its lines.

    blocks: how many were handed on. recognised: an envelope was seen that carries flow logs.
    """

    blocks: int = 0
    recognised: bool = False


class LineReader:
    """Reads the lines of one object, batch after batch; or those of one log group in it.

    given: the format where the user or the flow log's description names it. A header line in the object goes before
    it. Without both, lines that look exactly like the version 2 default are read as that, and each later line must
    be one too. Lines before the first that tells the layout are rejects (unknown_format).
    """

    def __init__(
        self, name: str, given: Format | None, wanted: Collection[str] | None, progress: Progress | None = None
    ) -> None:
        self.layout: Layout | None = None
        self.progress = progress or Progress()
        self.waiting: list[Reject] = []
        self._name = name
        self._given = given
        self._wanted = wanted

    def another(self) -> LineReader:
        """A reader of the same object for lines that have a layout of their own."""
        return LineReader(self._name, self._given, self._wanted, self.progress)

    def reject(self, reject: Reject) -> None:
        """Counts a line that was lost before it got here; it goes out with the next block."""
        self.waiting.append(reject)

    def read(self, lines: Lines) -> Iterator[Block]:
        """The blocks of a batch of whole lines.

        Raises NotAFlowLog where the first batch shows no layout; read again when others of the object were, the lines
        are rejects.
        """
        before, self.waiting = self.waiting, []
        if self.layout is None:
            lines, unsettled = self._settle(lines)
            waited, before = before, before + unsettled
            if self.layout is None:
                stray = bool(unsettled) or not self.progress.recognised
                if before and self._given is None and self.progress.blocks == 0 and stray:
                    self.waiting = waited
                    raise NotAFlowLog(f"{self._name}: no header, no format given, and no line of the version 2 default")
                if before:
                    form = self._given or Format(())
                    self.progress.blocks += 1
                    yield _block(form, empty_records(form, self._wanted), before, len(before))
                return
        for part in self._parts(lines):
            if before or part.lines or self.progress.blocks == 0:
                self.progress.blocks += 1
                yield _block(part.layout.format, part.records, [*before, *part.rejects], part.lines + len(before))
                before = []

    def finish(self, torn: Reject | None = None) -> Iterator[Block]:
        """The block that ends the object, where one is due: it ended early, or nothing but its format was seen.

        Raises NotAFlowLog where not even that was seen.
        """
        known = self.layout.format if self.layout is not None else self._given
        form = known or Format(())
        if torn is not None:
            yield _block(form, empty_records(form, self._wanted), [torn], 0, torn=True)
        elif self.progress.blocks == 0 and known is None and not self.progress.recognised:
            raise NotAFlowLog(f"{self._name}: no header, no format given, and no line at all")
        elif self.progress.blocks == 0 and known is not None:
            yield self.nothing()

    def nothing(self) -> Block:
        """A block without lines."""
        form = self.layout.format if self.layout is not None else self._given or Format(())
        return _block(form, empty_records(form, self._wanted), [], 0)

    def _parts(self, lines: Lines) -> Iterator[Part]:
        """Reads the lines by the layout, and by another from where a header says so.

        Behind such a header lines are read in small pieces at first, so that many of them cost little.
        """
        waiting = deque([lines])
        limit = max(lines.size, CAREFUL_BYTES + 1)
        while waiting:
            piece = waiting.popleft()
            if piece.size > limit:
                piece, behind = _cut(piece, limit)
                waiting.appendleft(behind)
            assert self.layout is not None
            part = read_lines(piece, self.layout, self._wanted, careful=limit <= CAREFUL_BYTES)
            yield part
            if part.rest is None or part.next_layout is None:
                limit *= 8
                continue
            self.layout = _with_stamp(part.next_layout, part.rest)
            limit = CAREFUL_BYTES
            if part.rest.size:
                waiting.appendleft(part.rest)

    def _settle(self, lines: Lines) -> tuple[Lines, list[Reject]]:
        """Finds the layout by the first line that tells it; gives the lines to read by it, and the rejects before."""
        rejects: list[Reject] = []
        begin, place = lines.begin, 0
        while begin < len(lines.data):
            end = lines.data.index(b"\n", begin)
            raw = lines.data[begin:end]
            line = tidy_line(raw, COMMA if COMMA in raw else SPACE)
            behind = lines.after(place, end + 1)
            if isinstance(line, str):
                rejects.append(Reject(lines.number(place), line, reject_text(raw)))
            elif line:
                text = line.decode("utf-8")
                header = header_layout(text)
                if header is not None:
                    self.layout = _with_stamp(header, behind)
                    return behind, rejects
                self.layout = layout_of_values(text, self._given) if self._given else v2_default_layout(text)
                if self.layout is not None:
                    return lines.after(place - 1, begin), rejects
                rejects.append(Reject(lines.number(place), "unknown_format", reject_text(raw)))
            begin, place = end + 1, place + 1
        return Lines(b"", 1), rejects


def _block(form: Format, records: pa.Table, rejects: list[Reject], lines: int, torn: bool = False) -> Block:
    return Block(records, rejects_table(rejects), lines, form.fields, form.kind, torn)


def _with_stamp(layout: Layout, behind: Lines) -> Layout:
    """A header's layout, knowing from the first line behind it whether timestamps stand before the lines."""
    line = behind.data[behind.begin : behind.data.find(b"\n", behind.begin)]
    first = tidy_line(line, layout.separator) if behind.size else b""
    if not first or isinstance(first, str):
        return Layout(layout.format, layout.separator)
    stamped = layout_of_values(first.decode("utf-8"), layout.format).stamped
    return Layout(layout.format, layout.separator, stamped)


def _cut(lines: Lines, limit: int) -> tuple[Lines, Lines]:
    """The lines within the first limit bytes, at least one, and the others."""
    begin = lines.begin
    end = lines.data.rfind(b"\n", begin, begin + limit) + 1 or lines.data.index(b"\n", begin) + 1
    count = lines.data.count(b"\n", begin, end)
    numbers = lines.numbers if isinstance(lines.numbers, int) else lines.numbers[:count]
    return Lines(lines.data[begin:end], numbers), lines.after(count - 1, end)
