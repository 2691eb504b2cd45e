"""What many interfaces are at once (lake/resolve.py for whole columns), where that hangs on nothing but what they say.

Interfaces that say the same but for the id of their instance are asked about once; the rules only ever put that id
into a template. What an interface serves by what other entities say is not found here, only that it may be so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.book_columns import states_schema
from flowlake.flows.compiled import njit
from flowlake.flows.observed_lines import texts_of
from flowlake.flows.plain_tags import Tags
from flowlake.flows.text_codes import text_parts
from flowlake.lake.interface_kinds import classify, tells
from flowlake.lake.resolve import Entities

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_INSTANCE = "\0"
"""Stands for the id of an instance."""


@dataclass
class Asked:
    """Interfaces, a row each. addr: the primary address; further: all others. few: what they say in columns of which
    there are few distinct values: those, and the code of each row; description likewise, with the rows' texts.
    """

    interface_id: pa.StringArray
    addr: pa.StringArray
    further: pa.ListArray
    few: Mapping[str, tuple[Sequence[Any], I32]]
    description_code: I32
    description: pa.StringArray
    instance_id: pa.StringArray
    tags: Tags


@dataclass
class Kinds:
    """What interfaces are, a row each. sure: whether that hangs on nothing else that they say."""

    asked: Asked
    sure: Bools
    type: pa.StringArray
    name: pa.StringArray
    arns: pa.ListArray
    shared: pa.BooleanArray
    listens_on: pa.ListArray
    tags: pa.MapArray
    arn: pa.StringArray

    def found_otherwise(self, entities: Sequence[Entities], rows: npt.NDArray) -> Bools:
        """Which of some rows any of these entities may say more of: what they are by their id, their ARN, their
        instance, their subnet and groups, or what they listen on as targets.
        """
        at = pa.array(rows)
        instance = self.asked.instance_id.take(at)
        targets = [target for one in entities for target in one.target_ports]
        addresses = {held for where, held in targets if where != ""}
        asked = [
            (self.asked.interface_id.take(at), {id_ for one in entities for id_ in one.by_interface}),
            (self.arn.take(at), {arn for one in entities for arn in one.by_arn}),
            (instance, {id_ for one in entities for id_ in one.nodes}),
            (instance, {held for where, held in targets if where == ""}),
            (self.asked.addr.take(at), addresses),
        ]
        found = np.zeros(len(rows), np.bool_)
        for texts, among in asked:
            if among:
                found |= _flags(pc.is_in(texts, pa.array(sorted(among), pa.string())))
        if addresses:
            further = self.asked.further.take(at)
            are_targets = np.append(0, np.cumsum(_flags(pc.is_in(further.flatten(), pa.array(sorted(addresses))))))
            ends = further.offsets.to_numpy()
            found |= are_targets[ends[1:]] > are_targets[ends[:-1]]
        by_place = [
            *(["lambda:function"] if any(one.functions for one in entities) else []),
            *(["rds"] if any(one.databases for one in entities) else []),
            *(["redshift"] if any(one.warehouses for one in entities) else []),
            *(["rds:proxy"] if any(kind == "db_proxy" for one in entities for kind, _, _ in one.by_name) else []),
        ]
        found |= _flags(pc.is_in(self.type.take(at), pa.array(by_place, pa.string())))
        return found

    def in_doubt_by_tags(self, tagged: Iterable[str]) -> Bools:
        """Which may serve something of which tags are told (tagged: by ids and ARNs), or themselves."""
        known = pa.array(sorted(tagged), pa.string())
        doubt = _flags(pc.match_substring(self.arn, "eni-"))
        for named_by in (self.arn, _behind_last(self.arn, b"/"), _behind_last(self.arn, b":/")):
            doubt |= _flags(pc.is_in(named_by, known))
        # An unqualified ARN of a function that has a version is shorter.
        functions = np.flatnonzero(_flags(pc.match_substring(self.arn, ":function:")))
        versions = pc.match_substring_regex(self.arn.take(pa.array(functions)), ":function:[^:]*:")
        doubt[functions[_flags(versions)]] = True
        return doubt


def _flags(column: pa.Array) -> Bools:
    return np.array(column.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def kinds_of(asked: Asked) -> Kinds:
    """What the interfaces are by the rules."""
    length = pc.binary_length(asked.instance_id).fill_null(-1).to_numpy()
    attached = np.sign(length)  # -1 not told, 0 to none, 1 to an instance
    heads, group = _together([attached + 1, *(codes for _, codes in asked.few.values()), asked.description_code])
    said = {name: [values[code] for code in codes[heads].tolist()] for name, (values, codes) in asked.few.items()}
    said["description"] = asked.description.take(pa.array(heads)).to_pylist()
    said["instance_id"] = [None if a < 0 else _INSTANCE if a else "" for a in attached[heads].tolist()]
    names = ("description", "interface_type", "requester_id", "instance_owner_id", "instance_id")
    columns = (said[name] for name in (*names, "account_id", "region", "requester_managed"))
    types, shown, arns, shared, ports, several = [], [], [], [], [], []
    for description, type_, requester, owner, instance_id, account_id, region, managed in zip(*columns, strict=True):
        kind = classify(description, type_, requester, owner, instance_id, None, account_id, region, managed)
        types.append(kind.type)
        shown.append(kind.name)
        arns.append(kind.arns[0] if kind.arns else None)
        shared.append(kind.shared)
        ports.append(sorted(set(kind.listens_on)))
        several.append(len(kind.arns) > 1)
    of, schema = pa.array(group), states_schema()
    keys = asked.tags.keys.dictionary_encode()
    tell = np.array([tells(key) for key in keys.dictionary.to_pylist()], np.bool_)
    sure = ~asked.tags.any_key(tell[keys.indices.to_numpy()]) & ~np.array(several, np.bool_)[group]
    name, name_sure = _filled(shown, group, asked.instance_id)
    arn, arn_sure = _filled(arns, group, asked.instance_id)
    lists = np.append(0, np.cumsum(arn.is_valid().to_numpy(False))).astype(np.int32)
    return Kinds(
        asked,
        sure & name_sure & arn_sure,
        pa.array(types, pa.string()).take(of),
        name,
        pa.ListArray.from_arrays(pa.array(lists), arn.drop_null()).cast(schema.field("arns").type),
        pa.array(shared, pa.bool_()).take(of),
        pa.array(ports, schema.field("listens_on").type).take(of),
        asked.tags.maps(schema.field("interface_tags").type),
        arn,
    )


def _filled(texts: Sequence[str | None], group: I64, instance_id: pa.StringArray) -> tuple[pa.StringArray, Bools]:
    """The text of each row's group with its instance put in; and where it is put in no more than once."""
    parts = [("",) if text is None else text.split(_INSTANCE) for text in texts]
    of = pa.array(group)
    before = pa.array([None if text is None else p[0] for text, p in zip(texts, parts, strict=True)], pa.string())
    after = pa.array([p[1] if len(p) > 1 else "" for p in parts], pa.string())
    has = pa.array([len(p) > 1 for p in parts], pa.bool_()).take(of)
    between = pc.if_else(has, instance_id, "")
    once = np.array([len(p) <= 2 for p in parts], np.bool_)
    return pc.binary_join_element_wise(before.take(of), between, after.take(of), ""), once[group]


def _behind_last(texts: pa.StringArray, stops: bytes) -> pa.StringArray:
    """What of each text stands behind the last of these characters, all of it where it has none; null stays null."""
    offsets, content = text_parts(texts)
    is_stop = np.zeros(256, np.bool_)
    is_stop[list(stops)] = True
    ends, kept = np.zeros(len(offsets), np.int32), np.empty(len(content), np.uint8)
    _keep_ends(offsets, content, is_stop, ends, kept)
    return texts_of(ends, kept, texts.is_null().to_numpy(zero_copy_only=False))


@njit(cache=True, nogil=True)
def _keep_ends(offsets, content, is_stop, ends, kept):  # type: ignore[no-untyped-def]
    to = 0
    for row in range(len(offsets) - 1):
        first = offsets[row + 1]
        while first > offsets[row] and not is_stop[content[first - 1]]:
            first -= 1
        for at in range(first, offsets[row + 1]):
            kept[to] = content[at]
            to += 1
        ends[row + 1] = to


def _together(columns: Sequence[npt.NDArray]) -> tuple[I64, I64]:
    """Rows that have the same numbers in all columns are a group: the first row of each, and each row's group."""
    key, bound = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        size = int(column.max(initial=0)) + 1
        if bound * size >= 1 << 62:
            distinct, key = np.unique(key, return_inverse=True)
            bound = len(distinct)
        key, bound = key * size + column, bound * size
    _, heads, group = np.unique(key, return_index=True, return_inverse=True)
    return heads, group
