"""How the client's traffic went out: left its VPC or not, by what, by which, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.conversations import Grouped
from flowlake.flows.endpoints import Shown, Texts, interface_names
from flowlake.flows.lookup import TRANSIT, value_at
from flowlake.flows.routes import Router, path_rules
from flowlake.flows.world import World

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SOURCES = ("next_hop", "nat_interface", "hop_interface", "addresses", "record", "route_table")
_UNSAID = -1


class _Decisions:
    """The way of each conversation, by the first rule that settles it; -1 is null."""

    def __init__(self, size: int) -> None:
        self.open = np.ones(size, dtype=np.bool_)
        self.left, self.source = np.full((2, size), _UNSAID, dtype=np.int8)
        self.via, self.by = np.full((2, size), _UNSAID, dtype=np.int64)
        self.vias: list[str] = []
        self.ids: list[pa.Array] = []

    def settle(
        self,
        where: Bools,
        left: bool | Bools,
        via: str | Texts | None = None,
        by: Texts | None = None,
        source: str | None = None,
    ) -> None:
        """Settles those conversations for which it holds, of those that no earlier rule settled."""
        now = self.open & where
        self.left[now] = left[now] if isinstance(left, np.ndarray) else left
        if isinstance(via, Texts):
            self.via[now] = _moved(via.codes[now], len(self.vias))
            self.vias += via.texts.to_pylist()
        elif via is not None:
            self.via[now] = len(self.vias)
            self.vias.append(via)
        if by is not None:
            self.by[now] = _moved(by.codes[now], sum(map(len, self.ids)))
            self.ids.append(by.texts)
        if source is not None:
            self.source[now] = SOURCES.index(source)
        self.open &= ~where

    def columns(self) -> dict[str, pa.Array]:
        ids = pa.concat_arrays([pa.array([], pa.string()), *self.ids])
        return {
            "path_left_vpc": pa.array(self.left > 0, mask=self.left == _UNSAID),
            "path_via": Texts.of(self.via, self.vias).array(),
            "path_by_id": Texts.of(self.by, ids).array(),
            "path_source": Texts.of(self.source, list(SOURCES)).array(),
        }


def _moved(codes: npt.NDArray, by: int) -> I64:
    return np.where(codes >= 0, codes.astype(np.int64) + by, _UNSAID)


def ways(
    grouped: Grouped, ends: Shown, labels: Sequence[str | None], world: World, router: Router
) -> dict[str, pa.Array]:
    """The four path columns of conversations, by the first that tells: the record's next hop, a NAT gateway's or hop's
    own records, the record's traffic-path, the server's own interface, the subnet's routes, both ends in one VPC.

    ends: the conversations' endpoints as they are shown. labels: the texts of next hops and their types.
    """
    c, rules = grouped.columns, path_rules()
    client, server = c["client"], c["server"]
    vpc, region = ends.texts["vpc_id"].codes, ends.texts["region"].codes
    held = ends.texts["interface_id"].codes[server] >= 0
    same_vpc = (vpc[client] >= 0) & (vpc[client] == vpc[server]) & held
    decided = _Decisions(len(client))

    hop_type = Texts.of(c["next_hop_type"], [rules["next_hop_type"].get(label) for label in labels])
    tells = (hop_type.codes >= 0) & (same_vpc | ~hop_type.among("interface_endpoint"))
    decided.settle(tells, ~hop_type.among(*rules["stays"]), hop_type, Texts.of(c["next_hop"], list(labels)), "next_hop")

    decided.settle(c["nat"] >= 0, True, "nat_gateway", interface_names(c["nat"], world), "nat_interface")
    hop = interface_names(c["hop"], world)
    decided.settle(_is_transit(c["hop"], hop, world) & ~same_vpc, True, "transit_gateway", hop, "hop_interface")

    served = ends.first_arn_ids()
    at_endpoint = same_vpc & ends.texts["type"].among("vpc_endpoint")[server]
    decided.settle(at_endpoint, False, "interface_endpoint", Texts.of(served.codes[server], served.texts), "addresses")

    codes, of = np.unique(c["path"], return_inverse=True)
    said = Texts.of(of, [rules["traffic_path"].get(str(code)) for code in codes.tolist()])
    who, high, low = grouped.endpoints.who, grouped.endpoints.high, grouped.endpoints.low
    target = router.ways(router.subnet_of(who)[client], high[server], low[server])
    via = Texts.of(target, [v for v, _ in router.targets])
    by = Texts.of(target, [t for _, t in router.targets])
    either = said.among("internet_gateway_or_gateway_endpoint")
    decided.settle(either & via.among("internet_gateway", "gateway_endpoint"), True, via, by, "record")
    decided.settle(either, True)

    in_vpc = said.among("same_vpc")
    agrees = _agree(said, via)
    by_where_agreed = Texts(np.where(agrees, by.codes, _UNSAID).astype(np.int32), by.texts)
    decided.settle((said.codes >= 0) & ~in_vpc, True, said, by_where_agreed, "record")
    decided.settle(in_vpc & same_vpc, False, "same_vpc", None, "record")
    decided.settle(same_vpc, False, "same_vpc", None, "addresses")

    peered = via.among("peering")
    known = (region[client] >= 0) & (region[server] >= 0)
    one_region = region[client] == region[server]
    decided.settle(peered & known & one_region, True, "peering", by, "route_table")
    decided.settle(peered & known, True, "inter_region_peering", by, "route_table")
    decided.settle(peered, True)
    decided.settle((via.codes >= 0) & ~via.among("same_vpc"), True, via, by, "route_table")
    decided.settle((vpc[client] >= 0) & (vpc[server] >= 0) & (vpc[client] != vpc[server]) & held, True)
    return decided.columns()


def _agree(said: Texts, via: Texts) -> Bools:
    """Whether the route's way is the one that the record says; a route's peering may be one between regions."""
    bare = [text.removeprefix("inter_region_") for text in said.texts.to_pylist()]
    both = Texts.of(
        np.concatenate([_moved(said.codes, 0), _moved(via.codes, len(bare))]), [*bare, *via.texts.to_pylist()]
    )
    size = len(said.codes)
    return (both.codes[:size] >= 0) & (both.codes[:size] == both.codes[size:])


def _is_transit(interfaces: npt.NDArray, names: Texts, world: World) -> Bools:
    """Whether each is a transit gateway's: by the book, or by its attachment's name."""
    by_book = value_at(world.lookup.forwards, interfaces, 0) == TRANSIT
    by_name = names.among(*[text for text in names.texts.to_pylist() if text.startswith("tgw-")])
    result: Bools = (interfaces >= 0) & (by_book | by_name)
    return result


__all__ = ["ways"]
