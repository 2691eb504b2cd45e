"""Records say what AWS would say: they parse, they add up, and each end tells its own side."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq

from flowlake.flows.read import read_blocks
from flowlake.sandbox.lines import PARQUET_TYPES
from tests.sandbox.conftest import Written


def test_every_line_is_a_record_and_none_is_rejected(wide_estate: Written) -> None:
    read: Counter[str] = Counter()
    told = dict(wide_estate.ask("select key, lines from {objects}"))
    for key, lines in told.items():
        with open(wide_estate.out / key, "rb") as stream:
            for block in read_blocks(stream, key):
                assert block.rejects.num_rows == 0, block.rejects.to_pylist()[:3]
                read[key] += block.lines
                read.update(block.records["log_status"].to_pylist())
        assert read[key] == lines
    summary = wide_estate.summary
    assert (read["OK"], read["NODATA"], read["SKIPDATA"]) == (summary.records, summary.nodata, 0)


def test_every_record_of_the_truth_is_the_line_it_names(wide_estate: Written) -> None:
    rows = wide_estate.ask(
        """select o.key, list(struct_pack(line, bytes, packets, start, r.interface_id) order by line)
           from {records} t join {objects} o using (object) join {interfaces} r on r.interface = t.reporter
           group by 1 order by 1"""
    )
    assert rows
    for key, entries in rows[::7]:
        with open(wide_estate.out / key, "rb") as stream:
            lines = [row for block in read_blocks(stream, key) for row in block.records.to_pylist()]
        for entry in entries:
            line = lines[entry["line"]]
            found = (line["bytes"], line["packets"], line["start"])
            assert found == (entry["bytes"], entry["packets"], entry["start"])
            shown = line["interface_id"] if line["interface_id"] else line.get("resource_id")
            assert shown in (entry["interface_id"], None)


def test_what_a_reporter_logged_adds_up_to_what_was_sent(wide_estate: Written) -> None:
    """No SKIPDATA in this estate: each flow log that covers an interface holds each direction to the byte."""
    wrong = wide_estate.ask(
        """with logged as (
               select connection, up, point, reporter, flow_log, sum(bytes) as bytes, sum(packets) as packets
               from {records} group by all)
           select * from logged join {connections} using (connection)
           where logged.bytes <> case when up then bytes_up else bytes_down end
              or logged.packets <> case when up then packets_up else packets_down end"""
    )
    assert wrong == []


def test_the_truth_in_steps_of_five_minutes_adds_up_to_the_connections(wide_estate: Written) -> None:
    (whole,) = wide_estate.ask("select sum(bytes_up), sum(bytes_down), sum(packets_up), count(*) from {connections}")
    (steps,) = wide_estate.ask(
        "select sum(bytes_up), sum(bytes_down), sum(packets_up), sum(connections) from {conversations}"
    )
    assert whole == steps


def test_both_ends_agree_in_sum_and_not_record_by_record(wide_estate: Written) -> None:
    rows = wide_estate.ask(
        """select sum(bytes) filter (point = 'client'), sum(bytes) filter (point = 'server'),
                  list(bytes order by first_packet) filter (point = 'client')
                  <> list(bytes order by first_packet) filter (point = 'server')
           from {records} where up and leg = 'direct' and way = 'same_vpc' and accepted
           group by connection, flow_log having count(distinct point) = 2 and count(*) > 4"""
    )
    assert rows
    assert all(client == server for client, server, _ in rows)
    assert any(differ for _, _, differ in rows)


def test_start_and_end_are_off_by_a_minute_at_most(wide_estate: Written) -> None:
    ((early, late),) = wide_estate.ask(
        "select min(start - first_packet / 1000), max(start - first_packet / 1000) from {records}"
    )
    assert -60 <= early < 0
    assert 0 < late <= 60


def test_a_nat_gateway_shows_the_client_inside_and_itself_outside(wide_estate: Written) -> None:
    rows = _with_lines(
        wide_estate,
        "t.way = 'nat_gateway' and t.up and r.interface_id like 'eni-%' and o.key not like '%parquet'",
    )
    inside = [line for point, line, _ in rows if point == "nat_inside" and line.get("pkt_dstaddr")]
    outside = [line for point, line, _ in rows if point == "nat_outside" and line.get("pkt_dstaddr")]
    assert inside
    assert outside
    assert all(line["dstaddr"] != line["pkt_dstaddr"] and line["srcaddr"] == line["pkt_srcaddr"] for line in inside)
    assert all(line["srcaddr"] == line["pkt_srcaddr"] and line["dstaddr"] == line["pkt_dstaddr"] for line in outside)
    gateways = {address for _, _, address in rows}
    assert {line["srcaddr"] for line in outside} <= gateways
    assert {line["dstaddr"] for line in inside} <= gateways


def test_a_regional_nat_gateway_has_no_interface_id(wide_estate: Written) -> None:
    rows = wide_estate.ask(
        """select count(*) from {records} t join {interfaces} r on r.interface = t.reporter
           where r.interface_id like 'nat-%'"""
    )
    assert rows[0][0] > 0
    lines = [line for _, line, _ in _with_lines(wide_estate, "r.interface_id like 'nat-%'")]
    assert all(line["interface_id"] is None and line["subnet_id"] is None for line in lines)
    assert all(line["resource_id"].startswith("nat-") for line in lines if "resource_id" in line)


def test_transit_gateway_interfaces_show_themselves_on_one_side(wide_estate: Written) -> None:
    rows = _with_lines(wide_estate, "t.leg = 'hop' and t.up")
    lines = [(point, line, own) for point, line, own in rows if line.get("pkt_dstaddr")]
    assert {point for point, _, _ in lines} == {"hop_client", "hop_server"}
    for point, line, own in lines:
        hidden = "dstaddr" if point == "hop_client" else "srcaddr"
        assert line[hidden] == own
        assert line[f"pkt_{hidden}"] != own


def test_a_secondary_address_shows_as_the_primary_one_on_its_own_side(wide_estate: Written) -> None:
    rows = wide_estate.ask(
        """select o.key, t.line, i.address, e.address from {records} t
           join {objects} o using (object) join {endpoints} e on e.endpoint = t.source
           join {interfaces} i on i.interface = e.interface
           where t.reporter = e.interface and e.address <> i.address and not contains(e.address, ':')
           order by 1 limit 50"""
    )
    assert rows
    for key, number, primary, secondary in rows:
        line = _line(wide_estate, key, number)
        assert line["srcaddr"] == primary
        assert line.get("pkt_srcaddr") in (secondary, None)


def test_parquet_has_the_types_that_aws_writes(wide_estate: Written) -> None:
    keys = [key for (key,) in wide_estate.ask("select key from {objects} where key like '%.log.parquet'")]
    assert keys
    for field in pq.read_schema(wide_estate.out / keys[0]):
        assert field.type == PARQUET_TYPES[field.name]


def test_refused_traffic_is_logged_where_it_was_refused(wide_estate: Written) -> None:
    rows = dict(
        wide_estate.ask(
            """select t.point || case when c.way = 'internet_gateway' then ' in' else '' end,
                      list(distinct t.accepted order by t.accepted)
               from {records} t join {connections} c using (connection) where not c.accepted group by 1"""
        )
    )
    assert rows["server"] == [False]  # refused inside: the receiver says REJECT,
    assert True in rows["client"]  # its sender ACCEPT;
    assert False in rows["client"]  # and what a network ACL stops, the sender REJECT


def test_some_addresses_are_used_again_within_seconds(wide_estate: Written) -> None:
    ((soon,),) = wide_estate.ask(
        """select count(*) from {interfaces} a join {interfaces} b
           on a.vpc_id = b.vpc_id and a.address = b.address and b.created - a.deleted between 0 and 30000"""
    )
    assert soon > 5


def _with_lines(estate: Written, where: str) -> list[tuple[str, dict[str, object], str]]:
    """(point, line as it reads, the reporter's primary address) of up to 60 records."""
    rows = estate.ask(
        f"""select t.point, o.key, t.line, r.address from {{records}} t join {{objects}} o using (object)
            join {{interfaces}} r on r.interface = t.reporter where {where} order by o.key, line limit 60"""
    )
    return [(point, _line(estate, key, number), own) for point, key, number, own in rows]


_READ: dict[str, list[dict[str, object]]] = {}


def _line(estate: Written, key: str, number: int) -> dict[str, object]:
    if key not in _READ:
        with open(estate.out / key, "rb") as stream:
            _READ[key] = [row for block in read_blocks(stream, key) for row in block.records.to_pylist()]
    return _READ[key][number]
