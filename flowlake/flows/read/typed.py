"""Records that come with columns instead of lines (Parquet, JSON objects) to the same typed columns.

Writers differ: AWS writes INT32 and INT64, others texts for numbers, numbers for account ids, 'None' for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.read import rules
from flowlake.flows.read.block import REJECT_TEXT_LENGTH, Block, Reject, rejects_table
from flowlake.flows.read.formats import FIELD_TYPES, Format
from flowlake.flows.read.text import NULL, Layout, Value, assemble, holding, values_of

NOTHING = frozenset({NULL, "", "None"})
NO_NUMBER = NOTHING | {"nan", "NaN", "<NA>", "NULL", "null"}
NO_TEXT = "\0"  # stands for bytes that are no text, and for values that are none
ACCOUNT_DIGITS = 12


def read_rows(
    arrays: Mapping[str, pa.Array], form: Format, numbers: Sequence[int], wanted: Collection[str] | None = None
) -> Block:
    """Rows as a block. arrays: a column of whatever type for each known field; numbers: one a row."""
    names = Layout(form).columns_to_read(wanted)
    total = len(numbers)
    plain = {name: _plain(arrays[name]) for name in names}
    columns = {}
    wrong = np.zeros(total, dtype=bool)
    for name in names:
        columns[name], unreadable = _typed(plain[name], name)
        wrong |= unreadable
    broken = rules.broken_rows(columns)
    doubtful = np.flatnonzero(wrong if broken is None else wrong | broken)
    rejects = []
    late: dict[int, Mapping[str, Value]] = {}
    for place in doubtful.tolist():
        tokens = {name: token_of(plain[name][place].as_py(), name) for name in names}
        result = "not_text" if NO_TEXT in tokens.values() else values_of(tokens, names)
        if isinstance(result, str):
            text = " ".join(tokens.values()).replace(NO_TEXT, "\ufffd")
            rejects.append(Reject(numbers[place], result, text[:REJECT_TEXT_LENGTH]))
        else:
            late[place] = result
    settled = ~np.isin(np.arange(total), doubtful) if doubtful.size else None
    records = assemble(columns, np.arange(total), settled, late, form.readable(wanted))
    return Block(records, rejects_table(rejects), total, form.fields, form.kind)


def _plain(array: pa.Array) -> pa.Array:
    """The column as whole numbers, floats or bytes of text; what is none of these as text where Arrow can say it."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_binary(kind):
        return array
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("s", kind.tz), safe=False).cast(pa.int64())
    try:
        return array.cast(pa.utf8()).cast(pa.binary())
    except (pa.ArrowException, ValueError):
        return pa.array([None if missing else NO_TEXT.encode() for missing in array.is_null().to_pylist()], pa.binary())


def _typed(array: pa.Array, name: str) -> tuple[pa.Array, np.ndarray]:
    """The column in the field's type, null where there is nothing, and a mask of the rows that have no such value."""
    kind = FIELD_TYPES[name]
    if kind != "string" and pa.types.is_integer(array.type):
        extremes = pc.min_max(array)
        least, greatest = extremes["min"].as_py(), extremes["max"].as_py()
        limits = rules.INTEGER_LIMITS[kind]
        if least is None or (limits[0] <= least and greatest <= limits[1]):
            return array.cast(rules.ARROW_TYPES[kind]), np.zeros(len(array), dtype=bool)
    encoded = array.dictionary_encode()
    tokens = [token_of(value, name) for value in encoded.dictionary.to_pylist()]
    texts = pa.array([None if token == NULL else token for token in tokens], pa.utf8()).take(encoded.indices)
    texts = texts.dictionary_encode()
    return numbers_of(texts, kind) if kind != "string" else (texts, holding(texts, NO_TEXT.__eq__))


def token_of(value: object, name: str) -> str:
    """A value as a log line would have it: '-' for nothing, NO_TEXT for what no line can hold."""
    if value is None or value != value:  # a NaN
        return NULL
    if isinstance(value, str | bytes):
        text = _text(value)
        return NULL if text in (NOTHING if FIELD_TYPES[name] == "string" else NO_NUMBER) else text
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NO_TEXT
    return str(value).zfill(ACCOUNT_DIGITS) if name.endswith("account_id") else str(value)


def _text(value: str | bytes) -> str:
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else value.encode("utf-8").decode("utf-8")
    except UnicodeError:
        return NO_TEXT
    return NO_TEXT if any(letter < " " for letter in text) else text


def numbers_of(column: pa.DictionaryArray, kind: str) -> tuple[pa.Array, np.ndarray]:
    """Numbers of a column of texts, and a mask of the rows whose text is none (null in the numbers)."""
    texts = column.dictionary.to_pylist()
    numbers = [rules.parse_integer(text, kind) for text in texts]
    wrong = np.array([place for place, number in enumerate(numbers) if number is None], dtype=np.int64)
    taken = pa.array(numbers, rules.ARROW_TYPES[kind]).take(column.indices)
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return taken, np.isin(codes, wrong)
