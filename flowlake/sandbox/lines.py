"""Records as AWS writes them: lines of any format, and Parquet.

A format is a list of field names (with underscores). Fields that depend on the interface alone are joined once for each
interface; the lines of a batch are one Arrow string array whose data buffer is the text of the object.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.lake.contracts import lake_data
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.flow_logs import FORMATS, versions
from flowlake.sandbox.model import Interface
from flowlake.sandbox.sightings import Records
from flowlake.sandbox.tables import SERVICES, Ints, Tables

UNKNOWN_ACCOUNT_TYPES = ("network_load_balancer", "vpc_endpoint")
"""For interfaces that AWS made, the record's account-id may be 'unknown'."""


def of_interface(estate: Estate, interface: Interface, name: str) -> str:
    """The text of a field that depends on the interface alone."""
    subnet, vpc = interface.subnet, interface.subnet.vpc
    match name:
        case "account_id":
            return "unknown" if interface.interface_type in UNKNOWN_ACCOUNT_TYPES else interface.account.id
        case "interface_id":
            return interface.id
        case "vpc_id":
            return vpc.id
        case "subnet_id":
            return "-" if interface.regional_nat else subnet.id
        case "instance_id":
            return interface.instance_id or "-"
        case "region":
            return vpc.region
        case "az_id":
            return "-" if interface.regional_nat else subnet.az_id
        case "interface_type":
            return interface.interface_type
        case "resource_id":
            return interface.regional_nat or "-"
        case "instance_tag":
            return _tag(estate, interface, "env")
        case "instance_tag_2":
            return _tag(estate, interface, "role")
        case "interface_tag":
            return _pair("owner", interface.tags["owner"]) if "owner" in interface.tags else "-"
        case "asg_tag":
            return _tag(estate, interface, "aws:autoscaling:groupName")
        case "interface_tag_2" | "asg_tag_2" | "sublocation_type" | "sublocation_id":
            return "-"
    raise KeyError(name)


def _tag(estate: Estate, interface: Interface, key: str) -> str:
    thing = estate.served.get(interface.index) if interface.instance_id else None
    return _pair(key, thing.tags[key]) if thing and key in thing.tags else "-"


def _pair(key: str, value: str) -> str:
    return urllib.parse.quote(f"{key}={value}", safe="=")


OF_INTERFACE = {
    "account_id", "interface_id", "vpc_id", "subnet_id", "instance_id", "region", "az_id", "interface_type",
    "resource_id", "instance_tag", "instance_tag_2", "interface_tag", "interface_tag_2", "asg_tag", "asg_tag_2",
    "sublocation_type", "sublocation_id",
}  # fmt: skip
NUMBERS = {
    "srcport": "source_port", "dstport": "destination_port", "packets": "packets", "bytes": "bytes", "start": "start",
    "end": "end", "tcp_flags": "flags",
}  # fmt: skip
ADDRESSES = {
    "srcaddr": "source", "dstaddr": "destination", "pkt_srcaddr": "packet_source", "pkt_dstaddr": "packet_destination",
}  # fmt: skip
NEXT_HOP = {
    "next_hop_interface_id": "interface_id", "next_hop_subnet_id": "subnet_id", "next_hop_az_id": "az_id",
    "next_hop_vpc_id": "vpc_id", "next_hop_interface_type": "interface_type",
}  # fmt: skip


@dataclass
class Writer:
    """Turns records into lines of one format."""

    tables: Tables
    format: str
    _joined: dict[tuple[str, ...], pa.Array] = field(default_factory=dict)

    @cached_property
    def fields(self) -> list[str]:
        return FORMATS[self.format]

    @cached_property
    def version(self) -> int:
        return versions(self.fields)

    @cached_property
    def header(self) -> bytes:
        return (" ".join(name.replace("_", "-") for name in self.fields) + "\n").encode()

    @cached_property
    def _addresses(self) -> pa.Array:
        return pa.array(self.tables.addresses, pa.string())

    @cached_property
    def _runs(self) -> list[tuple[str, ...]]:
        """The fields, with neighbours that depend on the interface alone taken together."""
        runs: list[tuple[str, ...]] = []
        for name in self.fields:
            if name in OF_INTERFACE and runs and runs[-1][0] in OF_INTERFACE:
                runs[-1] += (name,)
            else:
                runs.append((name,))
        return runs

    def lines(self, records: Records, protocol: Ints) -> pa.StringArray:
        """One line a record, each with its newline."""
        columns = [self._column(run, records, protocol) for run in self._runs]
        joined = pc.binary_join_element_wise(*columns, " ")
        return pc.binary_join_element_wise(joined, "\n", "")

    def _column(self, run: tuple[str, ...], records: Records, protocol: Ints) -> Any:
        name = run[0]
        if name in OF_INTERFACE:
            return self._of_interface(run).take(pa.array(records.interface))
        if name in NUMBERS:
            return pa.array(getattr(records, NUMBERS[name])).cast(pa.string())
        if name in ADDRESSES:
            return self._addresses.take(pa.array(getattr(records, ADDRESSES[name])))
        if name in NEXT_HOP:
            texts = pa.concat_arrays([self._of_interface((NEXT_HOP[name],)), pa.array(["-"])])
            return texts.take(pa.array(np.where(records.next_hop < 0, len(texts) - 1, records.next_hop)))
        match name:
            case "version":
                return pa.scalar(str(self.version))
            case "protocol":
                return pa.array(protocol).cast(pa.string())
            case "action":
                return pa.array(["REJECT", "ACCEPT"]).take(pa.array(records.accepted.astype(np.int8)))
            case "log_status":
                return pa.scalar("OK")
            case "type":
                v6 = self.tables.address_is_v6[records.packet_source]
                return pa.array(["IPv4", "IPv6"]).take(pa.array(v6.astype(np.int8)))
            case "flow_direction":
                return pa.array(["ingress", "egress"]).take(pa.array(records.egress.astype(np.int8)))
            case "traffic_path":
                return pa.array(["-", *(str(n) for n in range(1, 9))]).take(pa.array(records.traffic_path))
            case "pkt_src_aws_service":
                return pa.array(SERVICES).take(pa.array(self.tables.address_service[records.packet_source]))
            case "pkt_dst_aws_service":
                return pa.array(SERVICES).take(pa.array(self.tables.address_service[records.packet_destination]))
            case "encryption_status":
                return pa.array(["0", "1"]).take(
                    pa.array(self.tables.interface_nitro[records.interface].astype(np.int8))
                )
            case "reject_reason":
                return pa.scalar("-")
        raise KeyError(name)

    def _of_interface(self, run: tuple[str, ...]) -> pa.Array:
        if run not in self._joined:
            estate = self.tables.estate
            self._joined[run] = pa.array(
                [" ".join(of_interface(estate, i, name) for name in run) for i in estate.interfaces], pa.string()
            )
        return self._joined[run]

    def silence(self, interface: Interface, start: int, end: int, status: str) -> bytes:
        """A NODATA or SKIPDATA line."""
        known = {"version": str(self.version), "start": str(start), "end": str(end), "log_status": status}
        texts = []
        for name in self.fields:
            if name in known:
                texts.append(known[name])
            elif name in ("account_id", "interface_id", "vpc_id", "subnet_id", "instance_id"):
                texts.append(of_interface(self.tables.estate, interface, name))
            else:
                texts.append("-")
        return (" ".join(texts) + "\n").encode()


_TYPES = {"int": pa.int32(), "bigint": pa.int64(), "string": pa.string()}
PARQUET_TYPES = {f["name"]: _TYPES[f["type"]] for f in lake_data("flow_log_fields.json")["vpc"]}


PARQUET_BLOCK_BYTES = 16 << 20


def to_parquet(fields: list[str], text: Path, place: Path) -> None:
    """A file of lines as the object that AWS writes instead: underscored names, its types, null for '-'."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    types = {name: PARQUET_TYPES[name] for name in fields}
    schema = pa.schema(list(types.items()))
    with pq.ParquetWriter(place, schema, compression="gzip") as writer:
        if not text.stat().st_size:
            return
        batches = pyarrow.csv.open_csv(
            text,
            read_options=pyarrow.csv.ReadOptions(column_names=fields, block_size=PARQUET_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=" ", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=["-"], strings_can_be_null=True),
        )
        for batch in batches:
            writer.write_batch(batch)
