"""The digest of a book's meaning: not of when things were last seen.

It is that of Python's spelling (repr) of what each row means, spelled column by column.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.book_columns import columns_of_claims
from flowlake.flows.text_codes import text_parts

if TYPE_CHECKING:
    from flowlake.flows.book import Book

ROWS_AT_A_TIME = 1 << 17

_AS_THEY_ARE = np.zeros(256, np.bool_)
_AS_THEY_ARE[32:127] = True
_AS_THEY_ARE[[ord("'"), ord("\\")]] = False
"""Characters that Python spells as themselves, within single quotes."""


def digest_of(book: Book, hour_ends: int) -> str:
    """hour_ends (ms): what is sure beyond it means the same however long it was seen to hold after it."""
    digest = hashlib.sha256()
    for batch in book.state_columns.to_batches(max_chunksize=ROWS_AT_A_TIME):
        digest.update(_bytes_of(_spelled_states(batch, hour_ends)))
    claims = [book.claim_columns, columns_of_claims(book.public)]
    for name in ("vpc_id", "addr", "interface_id"):
        for table in claims:
            for texts in table[name].chunks:
                digest.update(_bytes_of(pc.binary_join_element_wise(texts, "", "\0")))
    for table in claims:
        for batch in table.to_batches(max_chunksize=ROWS_AT_A_TIME):
            of_times = [
                batch["valid_from"],
                pc.min_element_wise(batch["valid_to"], hour_ends),
                batch["is_primary"].cast(pa.int8()),
            ]
            digest.update(_bytes_of(pc.binary_join_element_wise(*(n.cast(pa.string()) for n in of_times), "", " ")))
    t = book.topology
    facts = [t.vpc_ranges, t.reachable, t.routes, {k: vars(v) for k, v in t.flow_logs.items()}, t.public, t.born]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _bytes_of(texts: pa.StringArray) -> bytes:
    """The texts behind one another."""
    offsets, content = text_parts(texts)
    return content[int(offsets[0]) : int(offsets[-1])].tobytes()


def _spelled_states(s: pa.RecordBatch, hour_ends: int) -> pa.StringArray:
    meaning = [
        _text(s["interface_id"]),
        s["valid_from"].cast(pa.string()),
        pc.min_element_wise(s["valid_to"], hour_ends).cast(pa.string()),
        _text(s["vpc_id"]),
        _text(s["subnet_id"]),
        _text(s["account_name"]),
        _text(s["type"]),
        _text(s["name"]),
        _texts(s["arns"]),
        pc.if_else(s["shared"], "True", "False"),
        _texts(s["security_group_ids"]),
        _tuple(s["listens_on"], _values(s["listens_on"], s["listens_on"].values).cast(pa.string())),
        _tags(s["tags"]),
        _tags(s["interface_tags"]),
        _text(s["az_id"]),
    ]
    return pc.binary_join_element_wise("(", pc.binary_join_element_wise(*meaning, ", "), ")", "")


def _text(texts: pa.StringArray) -> pa.StringArray:
    offsets, content = text_parts(texts)
    if bool(_AS_THEY_ARE[content[int(offsets[0]) : int(offsets[-1])]].all()):
        return pc.binary_join_element_wise("'", texts, "'", "").fill_null("None")
    coded = texts.dictionary_encode()
    spelled = pa.array([repr(text) for text in coded.dictionary.to_pylist()], pa.string())
    return spelled.take(coded.indices).fill_null("None")


def _texts(lists: pa.ListArray) -> pa.StringArray:
    return _tuple(lists, _text(_values(lists, lists.values)))


def _tuple(lists: pa.ListArray, spelled: pa.StringArray) -> pa.StringArray:
    """Tuples, whose values are spelled already; one of a single value has a comma behind it."""
    joined, sizes = _joined(lists, spelled), pc.list_value_length(lists)
    ends = pc.if_else(pc.equal(sizes, 1), ",)", ")")
    return pc.binary_join_element_wise("(", joined, ends, "").fill_null("None")


def _tags(tags: pa.MapArray) -> pa.StringArray:
    """Lists of pairs; the empty one is spelled as the dict that it was."""
    keys, values = (_text(_values(tags, held)) for held in (tags.keys, tags.items))
    pairs = pc.binary_join_element_wise("(", pc.binary_join_element_wise(keys, values, ", "), ")", "")
    whole = pc.binary_join_element_wise("[", _joined(tags, pairs), "]", "")
    return pc.if_else(pc.equal(whole, "[]"), "{}", whole).fill_null("None")


def _values(lists: Any, held: pa.Array) -> pa.Array:
    """Of the values that lists lie in, which may be those of many more lists, their own."""
    first = lists.offsets[0].as_py()
    return held.slice(first, lists.offsets[-1].as_py() - first)


def _joined(lists: Any, spelled: pa.StringArray) -> pa.StringArray:
    """The spelled values of each list, with commas between; null for no list."""
    offsets = lists.offsets.to_numpy()
    own = pa.array(offsets - offsets[0], mask=np.append(lists.is_null().to_numpy(False), False))
    return pc.binary_join(pa.ListArray.from_arrays(own, spelled), ", ")
