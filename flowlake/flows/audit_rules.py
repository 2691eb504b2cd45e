"""What the audit computes of a row before it looks: rules across columns, and keys.

A rule says of each row whether it holds; it is never null. The suites under expectations/ name the rules as if they
were columns, and give each one's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from flowlake.lake.hours import Hour

PORTED_PROTOCOLS = (6, 17, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP and UDP-Lite: the others have no ports."""

REJECT_TEXT_CHARACTERS = 1000


@dataclass(frozen=True)
class Scope:
    """What a run's rows must fit: its hour, and the length of its windows."""

    hour: Hour
    window_seconds: int


@dataclass(frozen=True)
class Rule:
    """A column that is computed of others. type is the contract's word for what it gives."""

    columns: tuple[str, ...]
    compute: Callable[[pa.Table, Scope], pa.ChunkedArray]
    type: str = "boolean"


def computed(rows: pa.Table, table: str, names: list[str], scope: Scope) -> pa.Table:
    """The rows with these computed columns behind them."""
    for name in names:
        values = RULES[table][name].compute(rows, scope)
        rows = rows.append_column(name, values)
    return rows


def _holds(condition: pa.ChunkedArray) -> pa.ChunkedArray:
    """A condition on columns of which one is null neither holds nor fails: that they may not be null is said apart."""
    return pc.fill_null(condition, True)


def _implies(condition: pa.ChunkedArray, consequence: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.or_(pc.invert(pc.fill_null(condition, False)), consequence)


def _microseconds(rows: pa.Table, name: str) -> pa.ChunkedArray:
    return rows[name].cast(pa.int64())


def _window_is_of_the_hour(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    since = pc.subtract(_microseconds(rows, "window_start"), scope.hour.starts * 1_000_000)
    length = scope.window_seconds * 1_000_000
    on_the_grid = pc.equal(pc.multiply(pc.divide(since, length), length), since)
    within = pc.and_(pc.greater_equal(since, 0), pc.less(since, (scope.hour.ends - scope.hour.starts) * 1_000_000))
    return _holds(pc.and_(on_the_grid, within))


def _starts_in_its_window(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    after = pc.subtract(_microseconds(rows, "started_at"), _microseconds(rows, "window_start"))
    return _holds(pc.and_(pc.greater_equal(after, 0), pc.less(after, scope.window_seconds * 1_000_000)))


def _ends_after_it_starts(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    return _holds(pc.greater_equal(rows["ended_at"], rows["started_at"]))


def _unknown_has_no_interface(side: str) -> Rule:
    def compute(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
        unknown = pc.equal(rows[f"{side}_attribution"], "none")
        return _implies(unknown, pc.is_null(rows[f"{side}_interface_id"]))

    return Rule((f"{side}_attribution", f"{side}_interface_id"), compute)


def _held_has_an_interface(side: str) -> Rule:
    def compute(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
        held = pc.is_in(rows[f"{side}_attribution"], value_set=pa.array(["interval", "attested", "assumed"]))
        return _implies(held, pc.is_valid(rows[f"{side}_interface_id"]))

    return Rule((f"{side}_attribution", f"{side}_interface_id"), compute)


def _path_says_what_it_rests_on(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    return pc.equal(pc.is_null(rows["path_via"]), pc.is_null(rows["path_source"]))


def _port_belongs_to_the_protocol(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    ported = pc.is_in(rows["protocol"], value_set=pa.array(PORTED_PROTOCOLS, rows["protocol"].type))
    return pc.or_(pc.is_null(rows["server_port"]), ported)


_ZONES = tuple(f"{side}_{zone}" for side in ("client", "server") for zone in ("az_id", "availability_zone"))


def _zones_compared_were_known(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    """Ends in different regions are in different zones of none: cross_az is false there, whatever the zones."""
    client_id, client_name, server_id, server_name = (pc.is_valid(rows[name]) for name in _ZONES)
    known = pc.and_(pc.or_(client_id, client_name), pc.or_(server_id, server_name))
    said = pc.and_(pc.is_valid(rows["cross_az"]), pc.invert(pc.fill_null(rows["cross_region"], False)))
    return _implies(said, known)


def _flow_log_key(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    parts = [pc.fill_null(rows[name], "?") for name in ("account_id", "region", "flow_log_id")]
    return pc.binary_join_element_wise(*parts, "|")


def _torn_objects_were_read(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    return _holds(pc.less_equal(rows["objects_torn"], rows["objects"]))


def _text_is_cut(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    return _holds(pc.less_equal(pc.utf8_length(rows["text"]), REJECT_TEXT_CHARACTERS))


def _begins_before_it_ends(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    return _holds(pc.less(rows["valid_from"], rows["valid_to"]))


def _seen_while_it_held(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    after = _holds(pc.greater_equal(rows["last_seen_at"], rows["valid_from"]))
    return pc.and_(after, _holds(pc.less_equal(rows["last_seen_at"], rows["valid_to"])))


def _names_its_subject(rows: pa.Table, scope: Scope) -> pa.ChunkedArray:
    subject = rows["subject"]
    held = pc.is_in(subject, value_set=pa.array(["address", "public_address", "prefix"]))
    has = {name: pc.is_valid(rows[name]) for name in ("addr", "interface_id", "resource_id")}
    addresses = _implies(held, pc.and_(has["addr"], has["interface_id"]))
    interfaces = _implies(pc.equal(subject, "interface"), has["interface_id"])
    resources = _implies(pc.equal(subject, "resource"), has["resource_id"])
    return pc.and_(addresses, pc.and_(interfaces, resources))


RULES: Mapping[str, Mapping[str, Rule]] = {
    "conversations": {
        "window_is_of_the_hour": Rule(("window_start",), _window_is_of_the_hour),
        "starts_in_its_window": Rule(("started_at", "window_start"), _starts_in_its_window),
        "ends_after_it_starts": Rule(("started_at", "ended_at"), _ends_after_it_starts),
        "unknown_client_has_no_interface": _unknown_has_no_interface("client"),
        "unknown_server_has_no_interface": _unknown_has_no_interface("server"),
        "held_client_has_an_interface": _held_has_an_interface("client"),
        "held_server_has_an_interface": _held_has_an_interface("server"),
        "path_says_what_it_rests_on": Rule(("path_via", "path_source"), _path_says_what_it_rests_on),
        "port_belongs_to_the_protocol": Rule(("protocol", "server_port"), _port_belongs_to_the_protocol),
        "zones_compared_were_known": Rule((*_ZONES, "cross_az", "cross_region"), _zones_compared_were_known),
    },
    "coverage": {
        "flow_log_key": Rule(("account_id", "region", "flow_log_id"), _flow_log_key, "string"),
        "torn_objects_were_read": Rule(("objects", "objects_torn"), _torn_objects_were_read),
    },
    "rejects": {"text_is_cut": Rule(("text",), _text_is_cut)},
    "address_book": {
        "begins_before_it_ends": Rule(("valid_from", "valid_to"), _begins_before_it_ends),
        "seen_while_it_held": Rule(("valid_from", "last_seen_at", "valid_to"), _seen_while_it_held),
        "names_its_subject": Rule(("subject", "addr", "interface_id", "resource_id"), _names_its_subject),
    },
}
