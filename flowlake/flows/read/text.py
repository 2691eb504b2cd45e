"""Lines of text to typed columns: a fast way for whole blocks and a careful one for single lines.

The fast way splits a block into columns in one compiled pass (split.py) and checks the columns it gets; whatever line
it can't settle (wrong number of values, a value that breaks a rule, perhaps a header) is read again by the careful
way, which alone names reasons. Both go by the same rules and give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.read import rules
from flowlake.flows.read.block import Reject, reject_text
from flowlake.flows.read.formats import FIELD_TYPES, NAME, V2_DEFAULT, Format, header_format
from flowlake.flows.read.split import Columns, count_lines, kinds_of, split

LONGEST_LINE = 1 << 16
NULL = "-"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)", re.ASCII)
COMMENT = re.compile(rb"(?:^| )#.*$", re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x1f]")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SPACE, COMMA = b" ", b","
STAMPS = "#stamp"  # the column of the timestamps before the lines

Value = int | str | None


@dataclass(frozen=True)
class Layout:
    """How the lines of an object are laid out.

    stamped: a timestamp stands before each line (an export from CloudWatch Logs).
    assumed: neither a header nor the user named the format; the lines look like the version 2 default.
    """

    format: Format
    separator: bytes = SPACE
    stamped: bool = False
    assumed: bool = False

    @property
    def columns(self) -> list[str]:
        return [STAMPS, *self.format.column_names] if self.stamped else list(self.format.column_names)

    def columns_to_read(self, wanted: Collection[str] | None) -> tuple[str, ...]:
        """The wanted fields and those without which they can't be checked."""
        needed = set(self.format.readable(wanted))
        if "protocol" in needed:
            needed.add("log_status")
        if self.assumed:
            needed.add("version")
        return self.format.readable(needed)


@dataclass(frozen=True)
class Lines:
    """Whole lines, the last one ended too. numbers: the number of the first, or one number a line.

    begin: where in data the first line begins; what stands before it is none of these lines.
    """

    data: bytes
    numbers: int | np.ndarray
    begin: int = 0

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return len(self.data) - self.begin

    @property
    def content(self) -> bytes:
        return self.data[self.begin :]

    def number(self, place: int) -> int:
        return self.numbers + place if isinstance(self.numbers, int) else int(self.numbers[place])

    def after(self, place: int, start: int) -> Lines:
        """The lines behind the one at place, which begin at byte start."""
        rest = self.numbers + place + 1 if isinstance(self.numbers, int) else self.numbers[place + 1 :]
        return Lines(self.data, rest, start)


@dataclass(frozen=True)
class Tidy:
    """Lines of UTF-8 text with single separators, none blank; rejected are those that could not be made so.

    originals: lines that were changed, as they stood in the object, by their place in lines.
    """

    lines: Lines
    rejected: list[Reject] = field(default_factory=list)
    originals: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Lines read by one layout. rest: the lines behind a header that changes the format, to be read by next_layout."""

    records: pa.Table
    rejects: list[Reject]
    lines: int
    layout: Layout
    rest: Lines | None = None
    next_layout: Layout | None = None


def read_lines(lines: Lines, layout: Layout, wanted: Collection[str] | None = None, *, careful: bool = False) -> Part:
    """The lines as typed records and rejects. careful: every line by the careful way (same result, 20 times slower)."""
    names = layout.columns_to_read(wanted)
    tidied = Tidy(lines)
    found = None if careful else _split(lines, layout, names, tidied=False)
    if found is None:
        tidied = tidy(lines, layout.separator)
        found = _unsplit(tidied.lines, names) if careful else _split(tidied.lines, layout, names, tidied=True)
    assert found is not None
    columns, places, total = found.columns, found.places, found.lines
    doubtful = _doubtful(found, layout)
    rejects = list(tidied.rejected)
    late: dict[int, Mapping[str, Value]] = {}
    headers = 0
    rest, next_layout = None, None
    if doubtful.size:
        data, start = tidied.lines.data, tidied.lines.begin
        ends = np.flatnonzero(np.frombuffer(data, np.uint8)[start:] == 10) + start
        for place in doubtful.tolist():
            begin = int(ends[place - 1]) + 1 if place else start
            raw = data[begin : int(ends[place])]
            result = read_line(raw, layout, names)
            if isinstance(result, str):
                text = reject_text(tidied.originals.get(place, raw))
                rejects.append(Reject(tidied.lines.number(place), result, text))
            elif isinstance(result, Layout):
                headers += 1
                if result != layout:
                    rest, next_layout = tidied.lines.after(place, int(ends[place]) + 1), result
                    total = place + 1
                    break
            else:
                late[place] = result
    settled = ~np.isin(places, doubtful) & (places < total) if doubtful.size else None
    records = assemble(columns, places, settled, late, layout.format.readable(wanted))
    rejects.sort(key=lambda reject: reject.line or 0)
    return Part(records, rejects, total - headers + len(tidied.rejected), layout, rest, next_layout)


# Tidying: what splitting does not understand, or understands otherwise than we do.


def tidy(lines: Lines, separator: bytes) -> Tidy:
    """Lines without blank ones, comments, carriage returns and doubled spaces, so that a tab is a space too."""
    lines = Lines(lines.content, lines.numbers)
    places = _odd_lines(lines.data, separator) if lines.data else []
    if not places:
        return Tidy(lines)
    rows: list[bytes | None] = list(lines.data.split(b"\n")[:-1])
    rejected = []
    changed = {}
    for place in places:
        raw = rows[place]
        assert raw is not None
        outcome = tidy_line(raw, separator)
        if isinstance(outcome, str):
            rejected.append(Reject(lines.number(place), outcome, reject_text(raw)))
            rows[place] = None
        else:
            rows[place] = outcome or None
            changed[place] = raw
    kept = np.array([place for place, row in enumerate(rows) if row is not None], dtype=np.int64)
    numbers = kept + lines.numbers if isinstance(lines.numbers, int) else lines.numbers[kept]
    data = b"".join(row + b"\n" for row in rows if row is not None)
    moved = {int(old): new for new, old in enumerate(kept)}
    originals = {moved[place]: raw for place, raw in changed.items() if place in moved}
    return Tidy(Lines(data, numbers), rejected, originals)


def tidy_line(raw: bytes, separator: bytes) -> bytes | str:
    """The line as it can be split, b'' if it is blank or a comment; the reason if it is no text."""
    if len(raw) > LONGEST_LINE:
        return "line_too_long"
    line = raw.removeprefix(BYTE_ORDER_MARK).rstrip(b"\r").replace(b"\t", b" ")
    if CONTROL.search(line):
        return "not_text"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "not_text"
    line = COMMENT.sub(b"", line)
    if separator == COMMA and COMMA in line:
        return COMMA.join(value.strip(b' "') for value in line.split(COMMA))
    return SPACE.join(value for value in line.split(SPACE) if value)


def _odd_bytes(separator: bytes) -> np.ndarray:
    odd = np.zeros(256, dtype=bool)
    odd[:32] = odd[128:] = True
    odd[10] = False
    odd[ord("#")] = True
    if separator == COMMA:
        odd[ord(" ")] = odd[ord('"')] = True
    return odd


_ODD = {separator: _odd_bytes(separator) for separator in (SPACE, COMMA)}


def _odd_lines(data: bytes, separator: bytes) -> list[int]:
    """The places of the lines that tidying may change."""
    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content == 10)
    lengths = np.diff(ends, prepend=-1) - 1
    gap = content <= 32
    doubled = gap.copy()
    doubled[1:] &= gap[:-1]
    doubled[0] = gap[0]
    # A space before the line's end is seen at the end, a space at its begin behind the end before: both are odd.
    odd = np.searchsorted(ends, np.flatnonzero(doubled | _ODD[separator][content]))
    return np.union1d(odd, np.flatnonzero(lengths > LONGEST_LINE)).tolist()


# The fast way.


def _split(lines: Lines, layout: Layout, names: Sequence[str], *, tidied: bool) -> Columns | None:
    """The lines' columns; None where they are to be tidied first."""
    if not names:
        return _unsplit(lines, names) if tidied else None
    wanted = {STAMPS: "string"} if layout.stamped else {}
    wanted |= {name: FIELD_TYPES[name] for name in names}
    kinds = kinds_of(layout.columns, wanted)
    return split(lines.data, layout.separator, kinds, LONGEST_LINE, tidied, lines.begin)


def _unsplit(lines: Lines, names: Sequence[str]) -> Columns:
    """Every line doubtful."""
    total = count_lines(lines.data, lines.begin)
    return Columns(_no_columns(names), np.arange(0), np.arange(total), total)


def _doubtful(found: Columns, layout: Layout) -> np.ndarray:
    """The places of the lines to be read by the careful way, some of them among the columns' rows, in order."""
    columns = found.columns
    if not columns:
        return found.doubtful
    stamps = columns.pop(STAMPS, None)
    unstamped = other = None
    if stamps is not None:
        unstamped = holding(stamps, lambda text: not STAMP.fullmatch(text)) | rules.as_mask(stamps.is_null())
    if layout.assumed:
        other = rules.as_mask(pc.not_equal(columns["version"], 2).fill_null(True))
    masks = (unstamped, other, rules.broken_rows(columns), _perhaps_headers(columns))
    doubtful = [found.places[mask] for mask in masks if mask is not None]
    return np.unique(np.concatenate([*doubtful, found.doubtful])) if doubtful else found.doubtful


CHECKED_FIELDS = frozenset({rule.field for rule in rules.RANGES} | {word.field for word in rules.WORDS})


def _perhaps_headers(columns: Mapping[str, pa.Array]) -> np.ndarray | None:
    """Rows that may be a header line: names alone. A column with rules never holds a name, so one of them will do."""
    if not CHECKED_FIELDS.isdisjoint(columns):
        return None
    return np.logical_and.reduce([holding(column, _perhaps_names) for column in columns.values()])


def _perhaps_names(text: str) -> bool:
    return all(NAME.fullmatch(piece) or STAMP.fullmatch(piece) for piece in _BETWEEN.split(text) if piece)


_BETWEEN = re.compile("[ ,]")


def holding(column: pa.DictionaryArray, test: Callable[[str], bool]) -> np.ndarray:
    """Mask of the rows whose text passes the test; null does not."""
    places = [place for place, text in enumerate(column.dictionary.to_pylist()) if test(text)]
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.isin(codes, np.array(places, dtype=np.int32))


def _no_columns(names: Iterable[str]) -> dict[str, pa.Array]:
    return {name: pa.array([], rules.ARROW_TYPES[FIELD_TYPES[name]]) for name in names}


def assemble(
    columns: Mapping[str, pa.Array],
    places: np.ndarray,
    settled: np.ndarray | None,
    late: Mapping[int, Mapping[str, Value]],
    promised: Sequence[str],
) -> pa.Table:
    """The settled rows and the late ones in the order of their lines, with the promised columns."""
    schema = schema_of(promised)
    if settled is None:
        return table_of([columns[name] for name in promised], schema, len(places))
    kept = [columns[name].filter(pa.array(settled)) for name in promised]
    rows = int(np.count_nonzero(settled)) + len(late)
    if late:
        added = sorted(late)
        order = pa.array(np.argsort(np.concatenate([places[settled], added])))
        kept = [
            _joined(column, [late[place][name] for place in added]).take(order)
            for name, column in zip(promised, kept, strict=True)
        ]
    # Dictionaries are made anew: no value of a rejected line stays in them.
    return table_of([compact(column) for column in kept], schema, rows)


def table_of(columns: Sequence[pa.Array], schema: pa.Schema, rows: int) -> pa.Table:
    """A table of columns; without any column it still has its number of rows."""
    if not columns:
        return pa.table({"#": pa.nulls(rows)}).select([])
    return pa.Table.from_arrays(list(columns), schema=schema)


def empty_records(form: Format, wanted: Collection[str] | None = None) -> pa.Table:
    """No rows, with the columns that records of the format have."""
    names = form.readable(wanted)
    return table_of(list(_no_columns(names).values()), schema_of(names), 0)


def schema_of(names: Iterable[str]) -> pa.Schema:
    return pa.schema([(name, rules.ARROW_TYPES[FIELD_TYPES[name]]) for name in names])


def compact(column: pa.Array) -> pa.Array:
    """The column with only those values in its dictionary that its rows have."""
    if not pa.types.is_dictionary(column.type):
        return column
    return column.cast(pa.utf8()).dictionary_encode()


def _joined(column: pa.Array, values: list[Value]) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return pa.concat_arrays([column, pa.array(values, column.type)])
    return pa.concat_arrays([column.cast(pa.utf8()), pa.array(values, pa.utf8())]).dictionary_encode()


# The careful way.


def read_line(line: bytes, layout: Layout, names: Sequence[str]) -> dict[str, Value] | Layout | str:
    """One tidy line: its values by field, the layout it names if it is a header, or the reason why it can't be read."""
    text = line.decode("utf-8", "replace")
    header = header_layout(text)
    if header is not None:
        same = header.format == layout.format and header.separator == layout.separator
        return layout if same and not layout.assumed else header
    tokens = text.split(layout.separator.decode())
    width = len(layout.format.fields)
    if len(tokens) == width + 1 and STAMP.fullmatch(tokens[0]):
        del tokens[0]
    if len(tokens) != width:
        return "wrong_field_count"
    return values_of(dict(zip(layout.format.column_names, tokens, strict=True)), names, layout.assumed)


def values_of(tokens: Mapping[str, str], names: Sequence[str], assumed: bool = False) -> dict[str, Value] | str:
    """The tokens of the named fields as typed values, or the reason why they can't be."""
    values: dict[str, Value] = {}
    for name in names:
        token: str | None = tokens[name]
        kind = FIELD_TYPES[name]
        if token in (NULL, ""):
            values[name] = None
        elif kind == "string":
            values[name] = token
        else:
            number = rules.parse_integer(str(token), kind)
            if number is None:
                return "bad_number"
            values[name] = number
    if assumed and values["version"] != 2:
        return "unknown_format"
    return rules.broken_rule(values) or values


# What a line says about the layout.


@lru_cache(maxsize=256)  # some tools repeat the header before every record
def header_layout(text: str) -> Layout | None:
    """The layout that a tidy header line names, None where the line is none. A header may carry a timestamp too."""
    separator = "," if "," in text else " "
    tokens = text.split(separator)
    stamped = len(tokens) > 1 and STAMP.fullmatch(tokens[0]) is not None
    found = header_format([token.strip() for token in (tokens[1:] if stamped else tokens)])
    return None if found is None else Layout(found, separator.encode(), stamped)


def layout_of_values(text: str, given: Format) -> Layout:
    """The layout of lines of a given format, by the first of them."""
    separator = "," if "," in text and len(text.split(",")) >= len(text.split(" ")) else " "
    stamped = STAMP.fullmatch(text.split(separator)[0]) is not None and len(given.fields) < len(text.split(separator))
    return Layout(given, separator.encode(), stamped)


def v2_default_layout(text: str) -> Layout | None:
    """The version 2 default layout if a line can be nothing else: 14 values, each of which fits its field, the first
    one 2, interface and log status as AWS writes them. None otherwise."""
    tokens = text.split(" ")
    stamped = STAMP.fullmatch(tokens[0]) is not None
    if stamped:
        del tokens[0]
    if len(tokens) != len(V2_DEFAULT.fields) or tokens[0] != "2" or not tokens[2].startswith("eni-"):
        return None
    if tokens[-1] not in ("OK", *rules.WITHOUT_DATA):
        return None
    values = values_of(dict(zip(V2_DEFAULT.fields, tokens, strict=True)), V2_DEFAULT.fields)
    return None if isinstance(values, str) else Layout(V2_DEFAULT, SPACE, stamped, assumed=True)
