"""The digest of a book's meaning: not of when things were last seen.

It is that of the bytes of its columns, each laid out in one way: how long each value is, then the values behind one
another. So two books have the same digest if and only if they mean the same, row for row, whatever chunks their columns
are of.
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

_OF_STATES = (
    "interface_id",
    "valid_from",
    "valid_to",
    "account_name",
    "vpc_id",
    "subnet_id",
    "az_id",
    "type",
    "name",
    "arns",
    "shared",
    "security_group_ids",
    "listens_on",
    "tags",
    "interface_tags",
)
_OF_CLAIMS = ("vpc_id", "addr", "interface_id", "valid_from", "valid_to", "is_primary")
_NULL = -1
"""How long a value is that there is not."""


def digest_of(book: Book, hour_ends: int) -> str:
    """hour_ends (ms): what is sure beyond it means the same however long it was seen to hold after it."""
    digest = hashlib.sha256()
    public = columns_of_claims(book.public)
    for rows, names in ((book.state_columns, _OF_STATES), (book.claim_columns, _OF_CLAIMS), (public, _OF_CLAIMS)):
        digest.update(len(rows).to_bytes(8, "little"))
        for name in names:
            column = pc.min_element_wise(rows[name], hour_ends) if name == "valid_to" else rows[name]
            _add(digest, column.combine_chunks())  # of lists, their own values alone
    t = book.topology
    facts = [t.vpc_ranges, t.reachable, t.routes, {k: vars(v) for k, v in t.flow_logs.items()}, t.public, t.born]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _add(digest: Any, column: pa.Array) -> None:
    """Adds a column's values to the digest."""
    if pa.types.is_map(column.type):
        _add_lengths(digest, column.offsets.to_numpy(), column)
        _add(digest, column.keys)
        _add(digest, column.items)
    elif pa.types.is_list(column.type):
        _add_lengths(digest, column.offsets.to_numpy(), column)
        _add(digest, column.values)
    elif pa.types.is_string(column.type):
        offsets, content = text_parts(column)
        _add_lengths(digest, offsets, column)
        digest.update(content[int(offsets[0]) : int(offsets[-1])])
    else:
        digest.update(column.is_null().cast(pa.int8()).to_numpy(zero_copy_only=False))
        digest.update(column.cast(pa.int64()).fill_null(0).to_numpy())


def _add_lengths(digest: Any, offsets: np.ndarray, column: pa.Array) -> None:
    lengths = np.diff(offsets).astype(np.int32)
    if column.null_count:
        lengths[column.is_null().to_numpy(zero_copy_only=False)] = _NULL
    digest.update(lengths)
