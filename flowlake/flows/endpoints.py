"""The ends of conversations as they are shown: what follows client_ and server_ in the conversations table.

Texts stay codes into short dictionaries from here to the file: an end has many conversations, a text many ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.addresses import U64, is_rfc1918, to_texts
from flowlake.flows.book import Book
from flowlake.flows.conversations import Endpoints
from flowlake.flows.world import AWS_SERVICE, HOWS, NETWORK, PUBLIC, World
from flowlake.lake.contracts import contract

I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TagSettings:
    """Which tag keys hold an owner and an app; the first present wins. A tag whose value is empty is not present."""

    owner: tuple[str, ...] = ("owner", "Owner", "team", "Team")
    app: tuple[str, ...] = ("app", "App", "application", "Application", "service", "Service")


# --- what travels to the last step -----------------------------------------------------------------------------------

_STATE_FIELDS = [
    ("valid_from", pa.int64()),
    ("account_id", pa.string()),
    ("account_name", pa.string()),
    ("region", pa.string()),
    ("vpc_id", pa.string()),
    ("subnet_id", pa.string()),
    ("availability_zone", pa.string()),
    ("az_id", pa.string()),
    ("type", pa.string()),
    ("name", pa.string()),
    ("arns", pa.list_(pa.string())),
    ("shared", pa.bool_()),
    ("security_group_ids", pa.list_(pa.string())),
    ("tags", pa.map_(pa.string(), pa.string())),
    ("interface_tags", pa.map_(pa.string(), pa.string())),
]
STATES = pa.schema(_STATE_FIELDS)

_OF_MANY = ("account_id", "account_name", "region", "vpc_id", "subnet_id", "availability_zone", "az_id", "type")
"""Columns whose texts many states have in common."""


def states_table(book: Book) -> pa.Table:
    """The book's states with what conversations show of them, row for row; texts that many have in common as codes."""
    table = book.state_columns.select(STATES.names).cast(STATES)
    for name in _OF_MANY:
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    return table


# --- texts as codes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Texts:
    """A column of texts: codes are rows of texts, which are distinct; -1 is null."""

    codes: I32
    texts: pa.StringArray

    @classmethod
    def of(cls, codes: npt.NDArray, texts: pa.Array | Sequence[str | None]) -> Texts:
        """From codes into texts that may be null, repeat themselves, or be used by none."""
        texts = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
        used = np.zeros(len(texts) + 1, dtype=np.bool_)
        used[codes] = True
        kept = np.flatnonzero(used[:-1])
        coded = texts.take(pa.array(kept)).dictionary_encode()
        renumbered = np.full(len(texts) + 1, -1, dtype=np.int32)
        renumbered[kept] = coded.indices.fill_null(-1).to_numpy()
        return cls(renumbered[codes], coded.dictionary)

    @classmethod
    def nothing(cls, size: int) -> Texts:
        return cls(np.full(size, -1, dtype=np.int32), pa.array([], pa.string()))

    def but(self, where: Bools, other: Texts) -> Texts:
        """These, and the other's where it says so."""
        codes = np.where(other.codes >= 0, other.codes + len(self.texts), -1)
        return Texts.of(np.where(where, codes, self.codes), pa.concat_arrays([self.texts, other.texts]))

    def take(self, rows: npt.NDArray) -> pa.DictionaryArray:
        """The texts of some rows, with a dictionary of those that occur."""
        kept = Texts.of(self.codes[rows], self.texts)
        return kept.array()

    def array(self) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(self.codes, mask=self.codes < 0), self.texts)

    def among(self, *texts: str) -> Bools:
        """Whether each is one of these."""
        listed = np.array([t in texts for t in self.texts.to_pylist()] + [False], dtype=np.bool_)
        result: Bools = listed[self.codes]
        return result


# --- endpoints -------------------------------------------------------------------------------------------------------


@cache
def _endpoint_columns() -> tuple[str, ...]:
    return tuple(
        c.name.removeprefix("client_") for c in contract("conversations").columns if c.name.startswith("client_")
    )


ENDPOINT_COLUMNS = _endpoint_columns()
_NESTED = ("arns", "security_group_ids", "tags", "interface_tags")


@dataclass(frozen=True)
class Shown:
    """Endpoints with what is shown of them, one row each.

    texts: columns by name. nested: lists and tags by name, one row a state; state is each endpoint's row there, -1
    where it has none. rfc1918 is null where there is no address. digests: what makes each endpoint itself, the same in
    every run that knows the same.
    """

    texts: Mapping[str, Texts]
    nested: Mapping[str, pa.Array]
    state: npt.NDArray[np.int64]
    rfc1918: pa.BooleanArray
    shared: Bools
    digests: U64

    def columns(self, end: str, rows: npt.NDArray) -> dict[str, pa.Array]:
        """The columns of client or server of conversations whose endpoints these rows are."""
        state = self.state[rows]
        places = pa.array(state, mask=state < 0)
        found: dict[str, pa.Array] = {name: column.take(rows) for name, column in self.texts.items()}
        found |= {name: column.take(places) for name, column in self.nested.items()}
        found["rfc1918"] = self.rfc1918.take(pa.array(rows))
        return {f"{end}_{name}": found[name] for name in ENDPOINT_COLUMNS}

    def first_arn_ids(self) -> Texts:
        """What the first ARN of each endpoint ends with, after the last slash."""
        first = [arns[0].rsplit("/", 1)[-1] if arns else None for arns in self.nested["arns"].to_pylist()]
        return Texts.of(self.state, first)


def show(
    endpoints: Endpoints, labels: Sequence[str | None], states: pa.Table, world: World, settings: TagSettings
) -> Shown:
    """What is shown of endpoints: their state's columns, what records alone told of strangers, labels of the world."""
    size = len(endpoints.who)
    used, row = np.unique(endpoints.state[endpoints.state >= 0], return_inverse=True)
    state = np.full(size, -1, dtype=np.int64)
    state[endpoints.state >= 0] = row
    held = {
        field.name: column.cast(field.type).combine_chunks()
        for field, column in zip(STATES, states.take(pa.array(used)), strict=True)
    }
    texts = {
        name: Texts.of(state, held[name])
        for name in ENDPOINT_COLUMNS
        if name in STATES.names and pa.types.is_string(STATES.field(name).type)
    }
    texts |= {name: Texts.of(state, values) for name, values in _first_tags(held, settings).items()}
    _tell_of_strangers(texts, endpoints, world)
    texts["interface_id"] = interface_names(endpoints.who, world)
    addresses = to_texts(endpoints.high, endpoints.low)
    texts["addr"] = Texts.of(np.arange(size), addresses)
    how = endpoints.how
    label = Texts.of(endpoints.label, list(labels))
    nothing = Texts.nothing(size)
    texts["aws_service"] = nothing.but(how == AWS_SERVICE, label)
    texts["network_name"] = nothing.but(how == NETWORK, label)
    texts["attribution"] = Texts.of(how, list(HOWS))
    of_the_world = np.isin(how, (AWS_SERVICE, NETWORK, PUBLIC))
    texts["type"] = texts["type"].but(of_the_world, texts["attribution"])
    texts["name"] = texts["name"].but(of_the_world, label)
    digests = _digests(
        [_spelled(texts["interface_id"]), _spelled(texts["addr"]), _spelled(texts["vpc_id"]), _spelled(label)],
        held["valid_from"].take(pa.array(state, mask=state < 0)),
    )
    private = pa.array(is_rfc1918(endpoints.high, endpoints.low), mask=addresses.is_null().to_numpy(False))
    shared = np.append(held["shared"].fill_null(False).to_numpy(zero_copy_only=False), False)[state]
    return Shown(texts, {name: _coded_within(held[name]) for name in _NESTED}, state, private, shared, digests)


def interface_names(interfaces: npt.NDArray, world: World) -> Texts:
    """The ids of interfaces, of the book's and of those that only records know; null for nobody."""
    codes, of = np.unique(interfaces, return_inverse=True)
    return Texts.of(of, [world.hints.name(world.lookup, code) for code in codes.tolist()])


def _first_tags(held: Mapping[str, pa.Array], settings: TagSettings) -> dict[str, list[str | None]]:
    """owner and app of each state, the resource's tags before the interface's."""
    tags = [held[name].to_pylist() for name in ("tags", "interface_tags")]
    return {
        name: [_first_tag(keys, *sets) for sets in zip(*tags, strict=True)]
        for name, keys in (("owner", settings.owner), ("app", settings.app))
    }


def _first_tag(keys: Sequence[str], *tag_sets: Any) -> str | None:
    for tags in tag_sets:
        held = dict(tags or ())
        for key in keys:
            if held.get(key):
                return str(held[key])
    return None


def _tell_of_strangers(texts: dict[str, Texts], endpoints: Endpoints, world: World) -> None:
    """Writes what records told of interfaces that the book does not know, and the VPC of addresses held by nobody."""
    known = len(world.lookup.interfaces)
    strange = endpoints.who >= known
    if bool(strange.any()):
        codes, of = np.unique(endpoints.who[strange] - known, return_inverse=True)
        place = np.full(len(strange), -1, dtype=np.int64)
        place[strange] = of
        for name in ("account_id", "vpc_id", "subnet_id", "az_id"):
            facts = [world.hints.facts[code].get(name) for code in codes.tolist()]
            texts[name] = texts[name].but(strange, Texts.of(place, facts))
    scoped = (endpoints.who < 0) & (endpoints.scope >= 0)
    scopes, of = np.unique(endpoints.scope, return_inverse=True)
    vpcs = [_vpc_text(world, code) if code >= 0 else None for code in scopes.tolist()]
    texts["vpc_id"] = texts["vpc_id"].but(scoped, Texts.of(of, vpcs))


def _vpc_text(world: World, code: int) -> str | None:
    known = len(world.lookup.vpcs)
    return world.lookup.vpcs.text(code) if code < known else world.hints.vpcs.text(code - known)


def _spelled(column: Texts) -> pa.Array:
    """Texts as Python spells them, null as None."""
    spellings = [repr(text) for text in column.texts.to_pylist()] + ["None"]
    return pa.array(spellings).take(pa.array(np.where(column.codes < 0, len(spellings) - 1, column.codes)))


def _digests(spelled: Sequence[pa.Array], since: pa.Array) -> U64:
    """64 bits of the digest of each endpoint's (interface, address, VPC, label, start of its state)."""
    told = pc.binary_join_element_wise(*spelled, since.cast(pa.string()).fill_null("None"), ", ")
    whole = pc.binary_join_element_wise("(", told, ")", "").cast(pa.binary())
    blake2b = hashlib.blake2b
    octets = b"".join([blake2b(text, digest_size=8).digest() for text in whole.to_pylist()])
    return np.frombuffer(octets, dtype=">u8").astype(np.uint64)


def _coded_within(column: pa.Array) -> pa.Array:
    """Lists or maps of texts with their texts as codes: rows are then taken, and files written, without the texts."""
    offsets = pa.array(column.offsets.to_numpy(), mask=np.append(column.is_null().to_numpy(False), False))
    if not pa.types.is_map(column.type):
        return pa.ListArray.from_arrays(offsets, column.values.dictionary_encode())
    keys, items = column.keys.dictionary_encode(), column.items.dictionary_encode()
    return pa.MapArray.from_arrays(offsets, keys, items)


__all__ = ["ENDPOINT_COLUMNS", "STATES", "Shown", "TagSettings", "Texts", "interface_names", "show", "states_table"]
