"""What sweeps told of interfaces, as numbers: each distinct content of an interface's rows once, and its sights.

Most interfaces are seen unchanged by every sweep. Their rows differ in when they were seen alone, so that all but the
first cost no more than to see that they say the same.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from flowlake.flows.compiled import njit
from flowlake.flows.observed_lines import NEXT, WANTED, Cut, ValueCodes, columns, cut
from flowlake.flows.text_codes import grown
from flowlake.lake.observations import PRESENT, SWEEP, Row, from_texts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_WANTED = {name: json.dumps(value) for name, value in (("kind", "interface"), ("source", SWEEP), ("state", PRESENT))}
_OF_THE_SIGHT = ("observed_at", "recorded_at", "source_id", "source_name", "sweep_started_at")
CONTENT = tuple(name for name in columns() if name not in (*_WANTED, *_OF_THE_SIGHT))
"""Columns of what a row says of the interface."""


def cut_rows(data: bytes) -> Cut:
    """An object's lines, to be taken."""
    return cut(data, _WANTED)


class Swept:
    """Rows of interfaces by what they say. contents: a row each, of codes by column (said); of the first rows of
    interfaces and of any that says something else later. sights: which content was seen when, by what.
    """

    def __init__(self, moment: Callable[[str], int], recorded_until: int, seen_until: int) -> None:
        """moment: how times are read (ms); rows that were recorded or seen later are left out."""
        self.values = {name: ValueCodes() for name in columns()}
        self._moment, self._recorded_until, self._seen_until = moment, recorded_until, seen_until
        self._contents = np.zeros((1 << 10, len(CONTENT)), np.int32)
        self._count = 0
        self._first = np.full(1 << 10, -1, np.int32)  # the first content of each entity, by its code
        self._changed = np.zeros(1 << 10, np.bool_)  # by entity too
        self._sights: list[npt.NDArray[np.int64]] = []
        self._envelopes: dict[tuple[int, ...], Row] = {}
        self._moments = {"observed_at": [0], "recorded_at": [0]}

    def take(self, found: Cut) -> list[Row]:
        """The rows of an object that are none of an interface that a sweep saw; the others are kept here."""
        lines = np.flatnonzero(found.what == WANTED)
        for name in ("observed_at", "recorded_at", "source_id", "source_name", "account_id", "entity_id"):
            lines = lines[found.size[columns().index(name), lines] > 0]
        no_guess = np.zeros(len(lines), np.int32)
        at, recorded = (
            self._times(name, self.values[name].of_values(found, lines, columns().index(name), no_guess))
            for name in ("observed_at", "recorded_at")
        )
        kept = (at <= self._seen_until) & (recorded <= self._recorded_until)
        others = np.ones(len(found.what), np.bool_)
        others[lines] = False
        lines, at = lines[kept], at[kept]
        if len(lines):
            self._note(found, lines, at)
        return [
            row
            for row in from_texts(found.texts(np.flatnonzero(others)))
            if self._moment(row["recorded_at"]) <= self._recorded_until
        ]

    def _times(self, name: str, codes: I32) -> I64:
        known, values = self._moments[name], self.values[name]
        known += [self._moment(json.loads(values.json(code))) for code in range(len(known), len(values))]
        return np.array(known, dtype=np.int64)[codes]

    def _note(self, found: Cut, lines: npt.NDArray, at: I64) -> None:
        place = {name: columns().index(name) for name in columns()}
        in_turn = np.full(len(lines), NEXT, np.int32)
        entity = self.values["entity_id"].of_values(found, lines, place["entity_id"], in_turn)
        self._first = grown(self._first, len(self.values["entity_id"]), -1)
        self._changed = grown(self._changed, len(self.values["entity_id"]), False)
        before = self._first[entity]
        said = np.empty((len(lines), len(CONTENT)), np.int32)
        for column, name in enumerate(CONTENT):
            if name == "entity_id":
                said[:, column] = entity
                continue
            guesses = np.where(before >= 0, self._contents[before, column], 0).astype(np.int32)
            said[:, column] = self.values[name].of_values(found, lines, place[name], guesses)
        if self._count + len(lines) > len(self._contents):
            larger = np.zeros((1 << (self._count + len(lines) - 1).bit_length(), len(CONTENT)), np.int32)
            larger[: self._count] = self._contents[: self._count]
            self._contents = larger
        content = np.empty(len(lines), np.int64)
        self._count = _keep(said, entity, self._contents, self._count, self._first, self._changed, content)
        nothing = np.zeros(len(lines), np.int32)
        by = (self.values[name].of_values(found, lines, place[name], nothing) for name in ("source_id", "source_name"))
        seen_at = self.values["observed_at"].of_values(found, lines, place["observed_at"], nothing)
        self._sights.append(np.stack([content, at, seen_at, *by]))

    # -- what was kept

    def said(self, name: str) -> I32:
        """The codes of what each content says in a column; 0 where it says nothing."""
        return self._contents[: self._count, CONTENT.index(name)]

    def says(self, names: tuple[str, ...]) -> Bools:
        """Which contents say anything in any of the columns."""
        found = np.zeros(self._count, np.bool_)
        for name in names:
            if len(self.values[name]) > 1:
                found |= self.said(name) > 0
        return found

    def unchanged(self) -> Bools:
        """Of which contents the interface never said anything else."""
        return ~self._changed[self.said("entity_id")]

    def sights(self) -> npt.NDArray[np.int64]:
        """Content, moment, and the codes of observed_at, source_id and source_name of each sight, in five rows."""
        if len(self._sights) > 1:
            self._sights = [np.concatenate(self._sights, axis=1)]
        return self._sights[0] if self._sights else np.zeros((5, 0), np.int64)

    def rows(self, of: Bools) -> Iterator[Row]:
        """The rows of some contents as they were, but for when they were recorded and the sweep began."""
        sights = self.sights()
        sights = sights[:, of[sights[0]]]
        sights = sights[:, np.argsort(sights[0], kind="stable")]
        wanted = np.flatnonzero(of)
        edges = np.searchsorted(sights[0], [*wanted[::_AT_A_TIME], len(of)])
        for part, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
            contents = wanted[part * _AT_A_TIME : (part + 1) * _AT_A_TIME]
            said = dict(zip(contents.tolist(), self.contents(contents), strict=True))
            for content, _, *by in sights[:, begin:end].T.tolist():
                yield {**said[content], **self._envelope(*by)}

    def _envelope(self, *by: int) -> Row:
        if by not in self._envelopes:
            named = zip(("observed_at", "source_id", "source_name"), by, strict=True)
            self._envelopes[by] = {
                "kind": "interface",
                "source": SWEEP,
                "state": PRESENT,
                **{name: json.loads(self.values[name].json(code)) for name, code in named},
            }
        return self._envelopes[by]

    def contents(self, rows: npt.NDArray) -> list[Row]:
        """What contents say."""
        parts = []
        for column, name in enumerate(CONTENT):
            codes = self._contents[rows, column]
            if codes.any():
                parts.append(pc.binary_join_element_wise(f'"{name}":', self.values[name].texts(codes), ""))
        lines = pc.binary_join_element_wise(*parts, ",", null_handling="skip").to_pylist() if parts else []
        return from_texts([f"{{{line}}}" for line in lines])


_AT_A_TIME = 1 << 12


@njit(cache=True, nogil=True)
def _keep(said, entity, contents, count, first, changed, content):  # type: ignore[no-untyped-def]
    """Writes down the contents that are new, and which each is; gives how many there are then."""
    for line in range(len(said)):
        known = first[entity[line]]
        same = known >= 0
        if same:
            for column in range(said.shape[1]):
                same &= contents[known, column] == said[line, column]
        if same:
            content[line] = known
            continue
        if known >= 0:
            changed[entity[line]] = True
        else:
            first[entity[line]] = count
        for column in range(said.shape[1]):
            contents[count, column] = said[line, column]
        content[line] = count
        count += 1
    return count
