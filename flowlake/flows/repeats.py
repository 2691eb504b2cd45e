"""CloudWatch events that were delivered more than once, told apart over all objects of an hour.

A subscription delivers an event at least once: it may stand again in the same object, or in another, which another
worker reads. Two steps before gather see to it that each counts once; they look only at objects that a flow log did not
deliver itself, and there need be two of those.

events    objects -> digests of their events, cut into buckets by digest
repeats   all digests of a bucket -> which events stood before: earlier in the object, or in one with an earlier key

Gather is then told for each object which of its events to leave out, by their places. Digests have 128 bits, so that no
two events of a lake's life are likely to share one. Memory grows with neither records nor objects: a worker holds the
digests of one bucket, and the driver none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.hashing import distinct
from flowlake.flows.objects import RawObject, is_named_by_aws
from flowlake.flows.parcels import Parcel, pack, unpack
from flowlake.flows.read import read_events
from flowlake.lake.store import ObjectStore

EVENTS, REPEATS = "events", "repeats"

Places = npt.NDArray[np.int64]
"""Which of an object's events, numbered from 0 as read_events lists them; ascending."""

BYTES_A_BUCKET = 32 << 20
"""Of objects as they are stored: about a million events, whose digests take 24 MB."""
AT_ONCE = 1 << 19
"""So many digests are held before they are sent on."""

_LISTED = pa.schema([("high", pa.uint64()), ("low", pa.uint64()), ("object", pa.int64()), ("place", pa.int64())])


def may_share_events(objects: Iterable[RawObject]) -> list[RawObject]:
    """The objects that may hold events which stand in another too, in the order of their keys; none in most lakes."""
    found = sorted((item for item in objects if not is_named_by_aws(item.key)), key=lambda item: item.key)
    return found if len(found) > 1 else []


def buckets_for(objects: Iterable[RawObject]) -> int:
    """Into how many buckets the digests of these objects are cut."""
    return max(1, -(-sum(item.size for item in objects) // BYTES_A_BUCKET))


def events(numbered: Iterable[tuple[int, RawObject]], store: ObjectStore, buckets: int) -> Iterator[Parcel]:
    """Lists the events of objects, each with its number among those that may share events."""
    held: list[pa.Table] = []
    for number, item in numbered:
        place = 0
        with store.open(item.key) as stream:
            for digests in read_events(stream):
                size = len(digests)
                places = np.arange(place, place + size)
                columns = [digests[:, 0], digests[:, 1], np.full(size, number), places]
                held.append(pa.table([pa.array(column) for column in columns], schema=_LISTED))
                place += size
                if sum(part.num_rows for part in held) >= AT_ONCE:
                    yield from _cut(held, buckets)
                    held = []
    yield from _cut(held, buckets)


def _cut(held: Sequence[pa.Table], buckets: int) -> Iterator[Parcel]:
    if not held:
        return
    whole = pa.concat_tables(held)
    bucket = (whole["high"].to_numpy() % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    cuts = np.searchsorted(bucket[order], np.arange(buckets + 1)).tolist()
    for number in range(buckets):
        rows = order[cuts[number] : cuts[number + 1]]
        if len(rows):
            yield number, EVENTS, pack({"events": whole.take(pa.array(rows))})


def repeats(payloads: Iterable[bytes], task_of: Sequence[int]) -> Iterator[Parcel]:
    """Finds the repeated among all events of a bucket, and tells the task of each object which of its events they are.

    An object that was looked into is told of though nothing in it is repeated. task_of: by the object's number.
    """
    listed = [unpack(payload)["events"].cast(_LISTED) for payload in payloads]
    if not listed:
        return
    whole = pa.concat_tables(listed)
    high, low, number, place = (whole[name].to_numpy() for name in _LISTED.names)
    # In order of keys and places, so that the first of equal ones is the one to keep, whoever listed it.
    order = np.lexsort((place, number))
    first, _ = distinct(high[order], low[order])
    again = np.ones(len(order), dtype=np.bool_)
    again[first] = False
    rows = order[again]
    seen = np.unique(number)
    tasks = np.array(task_of, dtype=np.int64)
    for task in np.unique(tasks[seen]).tolist():
        mine = rows[tasks[number[rows]] == task]
        found = {"object": pa.array(number[mine]), "place": pa.array(place[mine])}
        objects = pa.table({"object": pa.array(seen[tasks[seen] == task])})
        yield task, REPEATS, pack({"repeats": pa.table(found), "objects": objects})


def by_key(payloads: Iterable[bytes], objects: Sequence[RawObject]) -> dict[str, Places]:
    """What gather is to be told: by key of each object that was looked into, which of its events to leave out."""
    found: dict[int, list[Places]] = {}
    for payload in payloads:
        tables = unpack(payload)
        number, place = (tables["repeats"][name].to_numpy().astype(np.int64) for name in ("object", "place"))
        for one in tables["objects"]["object"].to_pylist():
            found.setdefault(one, []).append(place[number == one])
    return {objects[number].key: np.sort(np.concatenate(parts)) for number, parts in found.items()}


def repeated_events(objects: Iterable[RawObject], store: ObjectStore) -> Mapping[str, Places]:
    """The same in this process: by key, which events to leave out."""
    sharing = may_share_events(objects)
    listed = (payload for _, _, payload in events(enumerate(sharing), store, 1))
    told = (payload for _, _, payload in repeats(listed, [0] * len(sharing)))
    return by_key(told, sharing)
