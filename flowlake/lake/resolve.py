"""What an interface serves, where it takes other entities to know: which database, which functions, which task.

Pure. Entities is an index over the entities as they were at one time; resolve() is a few dictionary look-ups an
interface. What the interface itself says is interface_kinds.classify; this adds, in this order of certainty:

    its id named by an entity    NAT gateway, VPC endpoint, ECS task, EFS mount target, MSK broker
    its description's name       load balancer, cache, domain, proxy, cluster, instance: their names and ports
    the same address             a database's endpoint, a Redshift node
    the same subnet and groups   databases (RDSNetworkInterface), Redshift, functions behind one Hyperplane interface

Where several fit, all are candidates and shared is true. Where none fits, arns stay empty: it isn't guessed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowlake.lake.interface_kinds import UNCLASSIFIED, InterfaceKind, classify
from flowlake.lake.observations import ABSENT, COMPLETE, Row

_DATABASES = ("db_instance", "db_cluster", "db_proxy")
_TYPES = {"db_instance": "rds:instance", "db_cluster": "rds:cluster", "db_proxy": "rds:proxy"}
_TYPES_BY_ID = {
    "nat_gateway": "nat_gateway",
    "vpc_endpoint": "vpc_endpoint",
    "ecs_task": "ecs:task",
    "file_system": "efs",
    "kafka_cluster": "msk",
}
"""Kinds whose entities name their interfaces, and what an interface is then that no rule knows. (Instances name theirs
too, but an interface's own attachment comes first.)"""

_NODE_TAGS = ("eks:cluster-name", "aws:eks:cluster-name", "eks:nodegroup-name")
_NODE_PREFIXES = ("kubernetes.io/cluster/", "karpenter.sh/")
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Resolved:
    """What an interface serves.

    arns: all candidates where shared is true, else at most one. name: the Name tag of what it serves, else its own
    name; of several candidates the names they have in common, or the first few. listens_on: ports on which the
    inventory says that it listens (of any of the candidates), in ascending order.
    """

    type: str
    name: str | None = None
    arns: tuple[str, ...] = ()
    shared: bool = False
    listens_on: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Entity:
    """The part of an entity's row that resolving needs. only_at: where these are known, all private addresses that it
    has, so that an interface with none of them is another's.
    """

    kind: str
    arn: str
    name: str
    identifier: str | None
    account_id: str
    groups: frozenset[str]
    addresses: frozenset[str]
    only_at: frozenset[str]
    ports: tuple[int, ...]
    zone: str | None
    member_of: tuple[str, ...]
    service: str | None


@dataclass
class Entities:
    """An index over entities (observation rows, merged to their state at one time) for resolve().

    Built once from any iterable of rows; rows of kinds that tell nothing about interfaces are skipped, as are those
    that are absent.
    """

    by_arn: dict[str, _Entity] = field(default_factory=dict)
    by_interface: dict[str, list[_Entity]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[tuple[str, str, str], list[_Entity]] = field(default_factory=lambda: defaultdict(list))
    databases: dict[str, list[_Entity]] = field(default_factory=lambda: defaultdict(list))
    warehouses: dict[str, list[_Entity]] = field(default_factory=lambda: defaultdict(list))
    functions: dict[tuple[str, str, frozenset[str]], list[_Entity]] = field(default_factory=lambda: defaultdict(list))
    target_ports: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    clustered: set[tuple[str, str]] = field(default_factory=set)
    nodes: dict[str, bool] = field(default_factory=dict)
    _near: dict[Any, list[_Entity]] = field(default_factory=dict)
    _told: dict[tuple[str, int], Resolved] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Entities:
        """The index of these entities."""
        entities = cls()
        for row in rows:
            if row["state"] not in (ABSENT, COMPLETE):
                entities.add(row)
        return entities

    def add(self, row: Row) -> None:
        """Takes one entity into the index; each entity once."""
        kind = row["kind"]
        if kind == "target_group":
            self._add_targets(row)
        if kind not in _INDEXED:
            return
        entity = _entity(row)
        self._near.clear()
        self._told.clear()
        self.by_arn[entity.arn] = entity
        if kind in _TYPES_BY_ID:
            for interface_id in row.get("interface_ids") or ():
                self.by_interface[interface_id].append(entity)
        if row.get("name"):
            self.by_name[(kind, entity.account_id, row["name"])].append(entity)
        if kind == "instance":
            self.nodes[row["entity_id"]] = _is_node(row.get("tags") or {})
        if kind == "db_instance" and entity.member_of:
            self.clustered.update((entity.account_id, cluster) for cluster in entity.member_of)
        subnets = row.get("subnet_ids") or ()
        if kind in _DATABASES:
            for subnet in subnets:
                self.databases[subnet].append(entity)
        elif kind == "warehouse":
            for subnet in subnets:
                self.warehouses[subnet].append(entity)
        elif kind == "function":
            for subnet in subnets:
                self.functions[(entity.account_id, subnet, entity.groups)].append(entity)

    def _add_targets(self, row: Row) -> None:
        """Registered targets listen on their target's port: instances by id, addresses within the group's VPC."""
        for target in _detail(row).get("targets") or ():
            held, _, port = target.rpartition(":")
            if held and port.isdigit():
                where = "" if held.startswith("i-") else row.get("vpc_id") or "?"
                self.target_ports[(where, held)].add(int(port))


_INDEXED = {
    *_TYPES_BY_ID,
    *_DATABASES,
    "instance",
    "transit_gateway_attachment",
    "load_balancer",
    "cache",
    "function",
    "eks_cluster",
    "search_domain",
    "warehouse",
}


def _entity(row: Row) -> _Entity:
    detail = _detail(row) if row["kind"] == "db_instance" else {}
    # A database in several zones has interfaces in several: its zone limits it only where it is known to have one.
    in_one_zone = detail.get("multi_az") is False
    zone = row.get("availability_zone") if in_one_zone else None
    # A standby, a cluster's members and a proxy's other interfaces have addresses that no endpoint shows.
    shows_all = in_one_zone or row["kind"] == "warehouse"
    return _Entity(
        kind=row["kind"],
        arn=row.get("arn") or row["entity_id"],
        name=(row.get("tags") or {}).get("Name") or row.get("name") or row["entity_id"],
        identifier=row.get("name"),
        account_id=row["account_id"],
        groups=frozenset(row.get("security_group_ids") or ()),
        addresses=frozenset([*(row.get("addresses") or ()), *(row.get("public_addresses") or ())]),
        only_at=frozenset(row.get("addresses") or ()) if shows_all else frozenset(),
        ports=tuple(row.get("ports") or ()),
        zone=zone,
        member_of=tuple(row.get("member_of") or ()) if row["kind"] == "db_instance" else (),
        service=row.get("service_name"),
    )


def _detail(row: Row) -> Mapping[str, Any]:
    detail = row.get("detail")
    if isinstance(detail, str):
        return json.loads(detail)
    return detail or {}


def _is_node(tags: Mapping[str, str]) -> bool:
    return any(key in tags for key in _NODE_TAGS) or any(key.startswith(_NODE_PREFIXES) for key in tags)


def resolve(interface: Row, entities: Entities) -> Resolved:
    """What this interface (an observation row of kind interface) serves, given the entities of the same time."""
    kind = classify(
        interface.get("description"),
        interface.get("interface_type"),
        interface.get("requester_id"),
        interface.get("instance_owner_id"),
        interface.get("instance_id"),
        interface.get("tags"),
        interface.get("account_id"),
        interface.get("region"),
        interface.get("requester_managed"),
    )
    found = _serving(kind, interface, entities)
    more = _as_target(interface, entities).union(kind.listens_on)
    return replace(found, listens_on=tuple(sorted(more.union(found.listens_on)))) if more else found


def _as_target(interface: Row, entities: Entities) -> set[int]:
    """Ports on which this interface is registered as a load balancer's target."""
    if not entities.target_ports:
        return set()
    ports = set(entities.target_ports.get(("", interface.get("instance_id") or ""), ()))
    vpc = interface.get("vpc_id") or "?"
    for address in interface.get("addresses") or ():
        ports.update(entities.target_ports.get((vpc, address), ()))
    return ports


def _serving(kind: InterfaceKind, interface: Row, entities: Entities) -> Resolved:
    plain = Resolved(kind.type, kind.name, kind.arns, kind.shared)
    named = entities.by_interface.get(interface["entity_id"])
    if kind.type in ("ec2:instance", "eks:node"):
        return _instance(plain, interface, entities)
    if named:
        unknown = kind.type in (UNCLASSIFIED, "ec2:network_interface")
        return _one_or_several(_TYPES_BY_ID[named[0].kind] if unknown else kind.type, named)
    if kind.type == "lambda:function":
        return _functions(kind, interface, entities)
    if kind.type in ("rds", "redshift"):
        where = entities.databases if kind.type == "rds" else entities.warehouses
        candidates = _fitting(interface, where, entities)
        return _remembered(kind.type, candidates, entities, _database) if candidates else plain
    if kind.type == "rds:proxy":
        proxies = entities.by_name.get(("db_proxy", interface.get("account_id") or "", kind.name or ""))
        return _one_or_several(kind.type, proxies) if proxies else plain
    entity = entities.by_arn.get(kind.arns[0]) if kind.arns else None
    return _one_or_several(kind.type, [entity]) if entity else plain


def _instance(plain: Resolved, interface: Row, entities: Entities) -> Resolved:
    entity = entities.by_arn.get(plain.arns[0]) if plain.arns else None
    is_node = entities.nodes.get(interface.get("instance_id") or "", False)
    type_ = "eks:node" if is_node else plain.type
    return Resolved(type_, entity.name if entity else plain.name, plain.arns, plain.shared)


def _functions(kind: InterfaceKind, interface: Row, entities: Entities) -> Resolved:
    """All functions with the same subnet and groups. Where none is known, the one in the description is a candidate,
    unless it is known to be elsewhere now."""
    groups = frozenset(interface.get("security_group_ids") or ())
    key = (interface.get("account_id") or "", interface.get("subnet_id") or "", groups)
    fitting = entities.functions.get(key)
    if fitting:
        return _remembered(kind.type, fitting, entities, _one_or_several)
    elsewhere = bool(kind.arns) and kind.arns[0] in entities.by_arn
    if elsewhere:
        return Resolved(kind.type, None, (), True)
    return Resolved(kind.type, kind.name, kind.arns, kind.shared)


def _fitting(interface: Row, where: Mapping[str, list[_Entity]], entities: Entities) -> list[_Entity]:
    """The databases that this interface may belong to: of its account, in its subnet, with its groups, in its zone,
    and not known to be at other addresses alone; of these the one whose endpoint has its address, where that is known.
    """
    subnet, zone = interface.get("subnet_id") or "", interface.get("availability_zone")
    account, groups = interface.get("account_id") or "", tuple(sorted(interface.get("security_group_ids") or ()))
    key = (id(where), account, subnet, zone, groups)
    near = entities._near.get(key)
    if near is None:
        asked = frozenset(groups)
        near = [
            entity
            for entity in where.get(subnet, ())
            if entity.account_id == account
            and entity.groups == asked
            and (entity.zone is None or zone is None or entity.zone == zone)
            and not (entity.kind == "db_cluster" and (account, entity.identifier) in entities.clustered)
        ]
        entities._near[key] = near
    held = {*(interface.get("addresses") or ()), *(interface.get("public_addresses") or ())}
    left = [entity for entity in near if not entity.only_at or not held.isdisjoint(entity.only_at)]
    found = [entity for entity in left if not held.isdisjoint(entity.addresses)] or left
    if len(found) == len(near):
        return near
    picked = (key, tuple(entity.arn for entity in found))
    return entities._near.setdefault(picked, found)


def _remembered(
    type_: str, candidates: list[_Entity], entities: Entities, told: Callable[[str, list[_Entity]], Resolved]
) -> Resolved:
    """What is told of these candidates, worked out once for a list that the index keeps."""
    key = (type_, id(candidates))
    if key not in entities._told:
        entities._told[key] = told(type_, candidates)
    return entities._told[key]


def _database(type_: str, candidates: list[_Entity]) -> Resolved:
    """One database, or candidates; instances of one cluster are told as that cluster's."""
    if type_ == "redshift":
        return _one_or_several(type_, candidates)
    kinds = {entity.kind for entity in candidates}
    resolved = _one_or_several(_TYPES[kinds.pop()] if len(kinds) == 1 else type_, candidates)
    clusters = {entity.member_of[:1] for entity in candidates}
    if resolved.shared and len(clusters) == 1 and clusters != {()}:
        return replace(resolved, type="rds:cluster", name=clusters.pop()[0])
    return resolved


def _one_or_several(type_: str, candidates: list[_Entity]) -> Resolved:
    """One entity as it is; several as candidates, in the order of their ARNs."""
    unique = {entity.arn: entity for entity in candidates}
    arns = tuple(sorted(unique))
    ports = tuple(sorted({port for entity in unique.values() for port in entity.ports}))
    names = sorted({shown for entity in unique.values() if (shown := _shown(type_, entity))})
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    name = ", ".join(names[:_NAMES_SHOWN]) + more if names else None
    return Resolved(type_, name, arns, len(arns) > 1, ports)


def _shown(type_: str, entity: _Entity) -> str | None:
    """An endpoint is known by its service, all else by its name."""
    return (entity.service or entity.name) if type_.startswith("vpc_endpoint") else entity.name
