"""Plain interfaces: those of which nothing was ever told but one content, by sweeps alone.

Nearly all of a large inventory's interfaces are plain, and all that the book says of them is known from their first
and last sight and from the sweeps that did not list them: whole columns of them are made at once. What the general
way (fold.py, book.py) makes of them is the same, row for row; whatever is not sure to be plain is left to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.address_codes import addresses_of
from flowlake.flows.book_columns import CLAIMS, states_schema
from flowlake.flows.fold import OPEN, Gathered, State, millis, tag_key
from flowlake.flows.plain_kinds import Asked, Kinds, kinds_of
from flowlake.flows.plain_tags import tags_of
from flowlake.flows.plain_texts import LIST, held_by
from flowlake.flows.swept import CONTENT, Swept
from flowlake.lake.observations import Row
from flowlake.lake.resolve import Entities

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_ONE_OF_FEW = ("account_id", "region", "vpc_id", "subnet_id", "availability_zone", "az_id")
"""Texts that many interfaces have in common, and every plain one has."""
_MAYBE_TEXTS = ("interface_type", "requester_id", "instance_owner_id")
_OWN = ("entity_id", "description", "attachment_id", "instance_id", "attached_at", "created_at")
"""Texts of an interface alone."""
_OTHERS = ("addresses", "prefixes", "public_addresses", "requester_managed", "security_group_ids", "tags", "detail")
_KNOWN = {*_ONE_OF_FEW, *_MAYBE_TEXTS, *_OWN, *_OTHERS}
_NOT_KNOWN = tuple(name for name in CONTENT if name not in _KNOWN)
_MOMENT = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}$"


class _Values:
    """The distinct values of a column, by their codes; null is 0."""

    def __init__(self, swept: Swept, name: str) -> None:
        values = swept.values[name]
        self.list = [None, *(json.loads(values.json(code)) for code in range(1, len(values)))]

    def good(self, is_good: Callable[[Any], bool], of_null: bool = False) -> Bools:
        return np.array([of_null, *map(is_good, self.list[1:])], dtype=np.bool_)

    def texts(self) -> pa.StringArray:
        return pa.array([value if isinstance(value, str) else None for value in self.list], pa.string())


@dataclass
class Plain:
    """Interfaces, a row each, in the order of their ids; content is the row of what they say. addr is the primary
    address, further are all others. attached, created (ms) are OPEN where they tell nothing; gone_by is OPEN where no
    end is known.
    """

    swept: Swept
    content: I64
    interface_id: pa.StringArray
    addr: pa.StringArray
    further: pa.ListArray
    first: I64
    last: I64
    attached: I64
    created: I64
    gone_by: I64

    def take(self, rows: npt.NDArray) -> Plain:
        columns = {name: column for name, column in vars(self).items() if name != "swept"}
        taken = {n: c[rows] if isinstance(c, np.ndarray) else c.take(pa.array(rows)) for n, c in columns.items()}
        return Plain(self.swept, **taken)

    def codes(self, name: str) -> I32:
        return self.swept.said(name)[self.content]

    def texts(self, name: str) -> pa.StringArray:
        """A column of which there are few distinct values."""
        return _Values(self.swept, name).texts().take(pa.array(self.codes(name)))

    def own_texts(self, name: str) -> pa.StringArray:
        """A column of which there are many."""
        return self.swept.values[name].unquoted(self.codes(name))[0]


def plain_ones(swept: Swept, gathered: Gathered, begins: int, ends: int) -> tuple[Plain, Bools]:
    """The interfaces that are sure to be plain, as far as it takes no look at others' addresses, and of which contents
    they are. gathered: all other rows. [begins, ends) is the time of the book.
    """
    good = _good_contents(swept)
    content = np.flatnonzero(good)
    ids, right = swept.values["entity_id"].unquoted(swept.said("entity_id")[content])
    right &= _flags(pc.starts_with(ids, "eni-"))
    right &= ~_flags(pc.is_in(ids, pa.array(sorted(_spoken_of(gathered)), pa.string())))
    addr, further, all_ipv4 = _addresses(swept, content)
    right &= all_ipv4
    ended = pa.array(
        sorted({id_ for kind in ("attachment", "instance") for id_ in gathered.sights.get(kind, ())}), pa.string()
    )
    for name in ("attachment_id", "instance_id"):
        right &= ~_flags(pc.is_in(swept.values[name].unquoted(swept.said(name)[content])[0], ended))
    first, last = _first_and_last(swept)
    attached, told_attached = _times(swept, "attached_at", content)
    attached = np.where(_not_empty(swept, "attachment_id", content), attached, OPEN)
    created, told_created = _times(swept, "created_at", content)
    right &= told_attached & told_created
    # When it was made in the book's time counts apart.
    right &= (created < begins) | (created == OPEN)
    first, last = first[content], last[content]
    plain = Plain(swept, content, ids, addr, further, first, last, attached, created, np.zeros(0, np.int64))
    plain.gone_by = _gone_by(plain, gathered)
    # A later one tells nothing that the sights don't.
    plain.attached = np.where(attached < first, attached, OPEN)
    plain.created = np.where(created < np.minimum(first, plain.attached), created, OPEN)
    # Of what was before the first sight nothing reaches into the book's time; of what is since then all does.
    right &= (first < begins) | ((plain.attached == OPEN) & (plain.created == OPEN))
    right &= (plain.gone_by > first) & (plain.gone_by >= begins) & (first < ends)
    good[content[~right]] = False
    rows = np.flatnonzero(right)
    return plain.take(rows[pc.sort_indices(ids.take(pa.array(rows))).to_numpy()]), good


def alone(plain: Plain, gathered: Gathered) -> Bools:
    """Which of the interfaces have addresses that no other interface was ever told to have, in their VPC or of the
    general ones anywhere; nor a prefix that holds one.
    """
    owner = np.concatenate([np.arange(len(plain.content)), _owners(plain.further)])
    _, low = addresses_of(pa.concat_arrays([plain.addr, plain.further.flatten()]))
    vpc = plain.codes("vpc_id").astype(np.uint64)[owner]
    key = vpc << np.uint64(32) | (low & np.uint64(0xFFFFFFFF))
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    shared = np.zeros(len(key), np.bool_)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    told: set[str] = set()
    previous: Row | None = None
    for seen in gathered.sights.get("interface", {}).values():
        for sight in seen:
            if sight.said is not previous:
                previous = sight.said
                for name in ("addresses", "prefixes", "addresses_added", "addresses_removed"):
                    told.update(previous.get(name) or ())
    blocks = np.array(sorted({int(low_) >> 4 for low_ in _lows(t.split("/")[0] for t in told if "/" in t)}), np.uint64)
    lows = np.array(sorted(_lows(t for t in told if "/" not in t)), np.uint64)
    shared |= np.isin(low, lows) | np.isin(low >> np.uint64(4), blocks)
    found = np.ones(len(plain.content), np.bool_)
    found[owner[shared]] = False
    return found


def _owners(lists: pa.ListArray) -> I64:
    """The row of each of the lists' values."""
    return np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))


def _lows(texts: Iterable[str]) -> set[int]:
    listed = list(texts)
    return set(addresses_of(pa.array(listed, pa.string()))[1].tolist()) if listed else set()


def _flags(column: pa.Array) -> Bools:
    return np.array(column.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _good_contents(swept: Swept) -> Bools:
    """Contents of interfaces that never said anything else, with values of the kinds that they should be."""
    good = swept.unchanged() & ~swept.says(_NOT_KNOWN)
    for name in _ONE_OF_FEW:
        good &= _Values(swept, name).good(lambda v: _is_text(v) and v != "")[swept.said(name)]
    for name in _MAYBE_TEXTS:
        good &= _Values(swept, name).good(_is_text, True)[swept.said(name)]
    for name in ("prefixes", "public_addresses"):
        good &= _Values(swept, name).good(lambda v: v == [], True)[swept.said(name)]
    good &= _Values(swept, "requester_managed").good(lambda v: isinstance(v, bool), True)[
        swept.said("requester_managed")
    ]
    groups = _Values(swept, "security_group_ids").good(_is_list_of_texts, True)
    good &= groups[swept.said("security_group_ids")]
    _Values(swept, "detail")  # is not looked at, and must be JSON nevertheless
    for name in _OWN:
        codes = swept.said(name)
        good &= swept.values[name].unquoted(codes)[1] | (codes == 0)
    good &= tags_of(swept.values["tags"], swept.said("tags")).good
    return good


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _spoken_of(gathered: Gathered) -> set[str]:
    """Interfaces that other rows speak of: their own, of their tags, and of addresses associated with them."""
    spoken: set[str] = set()
    for kind, entities in gathered.sights.items():
        if kind == "interface":
            spoken |= entities.keys()
            continue
        spoken.update(key for entity in entities if (key := tag_key(entity)).startswith("eni-"))
        if kind == "elastic_ip":
            spoken.update(i for seen in entities.values() for s in seen for i in s.said.get("interface_ids") or ())
    return spoken


def _addresses(swept: Swept, content: I64) -> tuple[pa.StringArray, pa.ListArray, Bools]:
    """The first address of each content, its others, and whether it has any, and IPv4 ones alone."""
    lists = held_by(swept.values["addresses"], swept.said("addresses")[content], LIST)
    (addresses,) = lists.texts
    high, low = addresses_of(addresses)
    is_ipv4 = (high == 0) & (low >> np.uint64(32) == np.uint64(0xFFFF)) & ~_flags(pc.match_substring(addresses, ":"))
    odd = np.append(0, np.cumsum(~is_ipv4))
    starts, stops = lists.offsets[:-1], lists.offsets[1:]
    all_ipv4 = lists.good & (stops > starts) & (odd[stops] == odd[starts])
    first = addresses.take(pa.array(starts, mask=stops == starts))
    is_first = np.zeros(len(addresses), np.bool_)
    is_first[starts[stops > starts]] = True
    ends = np.append(0, np.cumsum(~is_first)).astype(np.int32)[lists.offsets]
    further = pa.ListArray.from_arrays(pa.array(ends), addresses.filter(pa.array(~is_first)))
    return first, further, all_ipv4


def _not_empty(swept: Swept, name: str, content: I64) -> Bools:
    texts = swept.values[name].unquoted(swept.said(name)[content])[0]
    return _flags(pc.greater(pc.binary_length(texts), 0))


def _times(swept: Swept, name: str, content: I64) -> tuple[I64, Bools]:
    """Moments (ms) that contents tell, OPEN where they tell none; and where that is so or they can be read."""
    values = swept.values[name]
    texts, right = values.unquoted(np.arange(len(values), dtype=np.int32))
    usual = right & _flags(pc.match_substring_regex(texts, _MOMENT))
    found, readable = np.full(len(texts), OPEN), ~right
    with suppress(pa.ArrowInvalid):
        found[usual] = texts.filter(pa.array(usual)).cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
        readable |= usual
    for row in np.flatnonzero(~readable).tolist():
        with suppress(ValueError):
            found[row] = millis(text) if (text := texts[row].as_py()) else OPEN
            readable[row] = True
    codes = swept.said(name)[content]
    return found[codes], readable[codes]


def _first_and_last(swept: Swept) -> tuple[I64, I64]:
    content, at, *_ = swept.sights()
    first, last = np.full(len(swept.said("entity_id")), OPEN), np.full(len(swept.said("entity_id")), -OPEN)
    np.minimum.at(first, content, at)
    np.maximum.at(last, content, at)
    return first, last


def _gone_by(plain: Plain, gathered: Gathered) -> I64:
    """The end of the first complete sweep after the last sight that began after the first one and did not list the
    interface; OPEN where there is none.
    """
    content, _, _, source, _ = plain.swept.sights()
    texts = _Values(plain.swept, "source_id").list
    account, region = (_Values(plain.swept, name).list for name in ("account_id", "region"))
    place = plain.codes("account_id").astype(np.int64) * len(region) + plain.codes("region")
    gone = np.full(len(place), OPEN)
    listed_by: dict[str, Bools] = {}
    for here in np.unique(place).tolist():
        sweeps = gathered.sweeps.get(("interface", account[here // len(region)], region[here % len(region)]), ())
        rows = np.flatnonzero(place == here)
        for sweep in sweeps:
            if sweep.sweep_id not in listed_by:
                by = np.array([text == sweep.sweep_id for text in texts])
                listed = np.zeros(len(plain.swept.said("entity_id")), np.bool_)
                listed[content[by[source]]] = True
                listed_by[sweep.sweep_id] = listed[plain.content]
            lacks = (plain.last[rows] <= sweep.finished_at) & (plain.first[rows] < sweep.started_at)
            lacks &= ~listed_by[sweep.sweep_id][rows] & (gone[rows] == OPEN)
            gone[rows[lacks]] = sweep.finished_at
    return gone


# --- what the book says of them ---------------------------------------------------------------------------------------


def claims_of(plain: Plain) -> pa.Table:
    """Their claims, in the order of VPC and address."""
    begins = np.minimum(np.minimum(plain.attached, plain.created), plain.first)
    source = np.where(plain.created < OPEN, 2, np.where(plain.attached < OPEN, 1, 0))
    sources = pa.array(["sweep", "attachment", "creation"]).take(pa.array(source))
    owner = _owners(plain.further)
    told = pa.concat_tables(
        [
            _claims(plain, np.arange(len(begins)), plain.addr, begins, sources, is_primary=True),
            # Nothing tells that it was held before the first sight of it.
            _claims(
                plain, owner, plain.further.flatten(), plain.first, pa.repeat("sweep", len(begins)), is_primary=False
            ),
        ]
    )
    return told.take(pc.sort_indices(told, [("vpc_id", "ascending"), ("addr", "ascending")]))


def _claims(
    plain: Plain, owner: I64, addr: pa.StringArray, begins: I64, source: pa.StringArray, is_primary: bool
) -> pa.Table:
    """Claims to addresses, of the interface in the row owner each. begins, source: by interface."""
    rows = pa.array(owner)
    gone = pa.array(plain.gone_by, mask=plain.gone_by == OPEN).take(rows)
    return pa.table(
        [
            plain.texts("vpc_id").take(rows),
            addr,
            plain.interface_id.take(rows),
            pa.array(begins[owner]),
            pa.array(plain.last[owner]),
            pa.repeat(False, len(owner)),
            gone.is_null(),
            pa.repeat(is_primary, len(owner)),
            source.take(rows),
            pc.if_else(gone.is_null(), pa.scalar(None, pa.string()), "absence"),
            gone,
        ],
        schema=CLAIMS,
    )


Epochs = list[tuple[int, int, Entities]]
Place = tuple[str | None, str | None]


def states_of(
    plain: Plain, epochs_of: Callable[[Place], Epochs], tagged: Iterable[str], accounts: Mapping[str, Any]
) -> tuple[pa.Table, dict[str, State]]:
    """Their states in the order of interfaces; and by interface id the states of those that take the general way, to
    find what they serve. tagged: all of which tags are told; accounts: names by account.
    """
    account, region = (_Values(plain.swept, name).list for name in ("account_id", "region"))
    place = plain.codes("account_id").astype(np.int64) * len(region) + plain.codes("region")
    kinds = kinds_of(_questions(plain))
    served = ~kinds.sure | kinds.in_doubt_by_tags(tagged)
    last_seen = plain.last.copy()
    for here in np.unique(place).tolist():
        epochs = epochs_of((account[here // len(region)], region[here % len(region)]))
        rows = np.flatnonzero(place == here)
        served[rows] |= kinds.found_otherwise([entities for _, _, entities in epochs], rows)
        for start, _, _ in epochs:
            # The general way sees a state once more in each epoch that it reaches into.
            reaches = rows[start < plain.gone_by[rows]]
            last_seen[reaches] = np.maximum(last_seen[reaches], start)
    last_seen = np.minimum(last_seen, plain.gone_by)
    table = _states(plain, kinds, last_seen, accounts)
    left = dict(_as_states(plain, np.flatnonzero(served)))
    return table.filter(pa.array(~served)) if left else table, left


def _questions(plain: Plain) -> Asked:
    names = (*_MAYBE_TEXTS, "requester_managed", "account_id", "region")
    return Asked(
        plain.interface_id,
        plain.addr,
        plain.further,
        {name: (_Values(plain.swept, name).list, plain.codes(name)) for name in names},
        plain.codes("description"),
        plain.own_texts("description"),
        plain.own_texts("instance_id"),
        tags_of(plain.swept.values["tags"], plain.codes("tags")),
    )


def _as_states(plain: Plain, rows: npt.NDArray) -> Iterator[tuple[str, State]]:
    """By interface id, as the general way knows states."""
    contents = plain.swept.contents(plain.content[rows])
    times = (plain.first[rows].tolist(), plain.gone_by[rows].tolist(), plain.last[rows].tolist())
    for said, first, ended, last in zip(contents, *times, strict=True):
        id_ = said.pop("entity_id")
        said["primary"] = said["addresses"][0]
        yield id_, State(first, ended, last, "sweep", None if ended == OPEN else "absence", said)


def _states(plain: Plain, kinds: Kinds, last_seen: I64, accounts: Mapping[str, Any]) -> pa.Table:
    rows = len(plain.content)
    accounts_told = [accounts.get(account or "") for account in _Values(plain.swept, "account_id").list]
    of_groups = _Values(plain.swept, "security_group_ids").list
    schema = states_schema()
    groups = pa.array([g if _is_list_of_texts(g) else None for g in of_groups], schema.field("security_group_ids").type)
    columns = {
        "interface_id": plain.interface_id,
        "valid_from": pa.array(plain.first),
        "valid_to": pa.array(plain.gone_by),
        "last_seen": pa.array(last_seen),
        "from_source": pa.repeat("sweep", rows),
        "to_source": pc.if_else(pa.array(plain.gone_by == OPEN), pa.scalar(None, pa.string()), "absence"),
        "account_name": pa.array(accounts_told, pa.string()).take(pa.array(plain.codes("account_id"))),
        **{name: plain.texts(name) for name in (*_ONE_OF_FEW, "interface_type")},
        "type": kinds.type,
        "name": kinds.name,
        "arns": kinds.arns,
        "shared": kinds.shared,
        "security_group_ids": groups.take(pa.array(plain.codes("security_group_ids"))),
        "listens_on": kinds.listens_on,
        "tags": pa.nulls(rows, schema.field("tags").type),
        "interface_tags": kinds.tags,
        "description": plain.own_texts("description"),
        "primary": plain.addr,
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)
