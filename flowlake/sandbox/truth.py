"""The truth, written aside: who was on both ends of every record, and the bytes that really went.

truth/records/dt=…/hour=…    one row a raw record, by (object, line); dt and hour are those of the record's start
truth/connections/dt=…/hour=…   one row a connection, in the hour in which it began
truth/conversations/dt=…/hour=…  five minutes of true time, one row for (client, server, server port, protocol, action);
                              rows of one key may be several (one a batch): sum them
truth/endpoints.parquet, interfaces.parquet, objects.parquet   what the numbers in them stand for
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.lake.hours import Hour
from flowlake.sandbox.sightings import LEG_OF_POINT, LEGS, POINTS, STEP, Records
from flowlake.sandbox.tables import NAT_GATEWAY, WAYS, Ints, Tables
from flowlake.sandbox.traffic import ACCEPTED, Connections, packets_before


class Hourly:
    """Parquet files of one table, one an hour, open until their hour is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[int, pq.ParquetWriter] = {}

    def write(self, table: pa.Table, seconds: Ints) -> None:
        """Adds the rows to the hours in which their seconds (since the epoch) lie."""
        hours = seconds // 3600
        for hour in np.unique(hours).tolist():
            part = table if (hours == hour).all() else table.filter(pa.array(hours == hour))
            if hour not in self._open:
                name = Hour(hour * 3600)
                folder = self.folder / f"dt={name.dt}" / f"hour={name.hh}"
                folder.mkdir(parents=True, exist_ok=True)
                self._open[hour] = _writer(folder / "part-0.parquet", table.schema)
            self._open[hour].write_table(part)

    def close_before(self, seconds: int) -> None:
        for hour in [h for h in self._open if (h + 1) * 3600 <= seconds]:
            self._open.pop(hour).close()

    def close(self) -> None:
        self.close_before(1 << 60)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Fast rather than small: dictionaries only where the column is one."""
    coded = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=coded, write_statistics=False)


def _names(codes: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(names))


class Truth:
    """Writes the truth as the traffic is made."""

    def __init__(self, folder: Path, tables: Tables) -> None:
        self.tables, self.folder = tables, folder
        self.records = Hourly(folder / "records")
        self.connections = Hourly(folder / "connections")
        self.conversations = Hourly(folder / "conversations")

    def add_connections(self, batch: Connections) -> None:
        seconds = (self.tables.zero + batch.starts) // 1000
        table = pa.table(
            {
                "connection": batch.id,
                "client": batch.client.astype(np.int32),
                "server": batch.server.astype(np.int32),
                "client_port": batch.client_port.astype(np.int32),
                "server_port": batch.server_port.astype(np.int32),
                "protocol": batch.protocol.astype(np.int16),
                "first_packet": self.tables.zero + batch.starts,
                "last_packet": self.tables.zero + batch.ends,
                "bytes_up": batch.bytes_up,
                "bytes_down": batch.bytes_down,
                "packets_up": batch.packets_up,
                "packets_down": batch.packets_down,
                "accepted": batch.verdict == ACCEPTED,
                "leg": _names((batch.way == NAT_GATEWAY).astype(np.int8), LEGS[:2]),
                "way": _names(batch.way, WAYS),
                "nat": batch.nat.astype(np.int32),
                "hop_client": batch.hop_client.astype(np.int32),
                "hop_server": batch.hop_server.astype(np.int32),
                "edge": batch.edge.astype(np.int32),
            }
        )
        self.connections.write(table, seconds)

    def add_conversations(self, batch: Connections) -> pa.Table:
        """True bytes in steps of five minutes; also returned."""
        first, last = batch.starts // STEP, batch.ends // STEP
        count = last - first + 1
        rows = np.repeat(np.arange(len(batch)), count)
        step = np.repeat(first, count) + np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        columns: dict[str, Ints] = {}
        for way, packets, size in (
            ("up", batch.packets_up, batch.bytes_up),
            ("down", batch.packets_down, batch.bytes_down),
        ):
            total = packets[rows]
            before = packets_before(total, batch.starts[rows], batch.ends[rows], step * STEP)
            after = packets_before(total, batch.starts[rows], batch.ends[rows], (step + 1) * STEP)
            full = np.maximum(total, 1)
            columns[f"packets_{way}"] = np.where(total > 0, after - before, 0)
            columns[f"bytes_{way}"] = np.where(total > 0, size[rows] * after // full - size[rows] * before // full, 0)
        table = pa.table(
            {
                "window_start": self.tables.zero // 1000 + step * (STEP // 1000),
                "client": batch.client[rows].astype(np.int32),
                "server": batch.server[rows].astype(np.int32),
                "server_port": batch.server_port[rows].astype(np.int32),
                "protocol": batch.protocol[rows].astype(np.int16),
                "accepted": (batch.verdict == ACCEPTED)[rows],
                "way": batch.way[rows].astype(np.int8),
                "nat": batch.nat[rows].astype(np.int32),
                "edge": batch.edge[rows].astype(np.int32),
                "connections": (step == np.repeat(first, count)).astype(np.int32),
                **columns,
            }
        )
        keys = ["window_start", "client", "server", "server_port", "protocol", "accepted", "way", "nat", "edge"]
        sums = ["connections", "packets_up", "bytes_up", "packets_down", "bytes_down"]
        grouped = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in sums])
        grouped = grouped.rename_columns([name.removesuffix("_sum") for name in grouped.column_names])
        codes = grouped["way"].to_numpy()
        grouped = grouped.set_column(grouped.schema.get_field_index("way"), "way", _names(codes, WAYS))
        leg = _names((codes == NAT_GATEWAY).astype(np.int8), LEGS[:2])
        grouped = grouped.append_column("leg", leg)
        for end, logged in self._logged(grouped).items():
            grouped = grouped.append_column(end, pa.array(logged))
        self.conversations.write(grouped, grouped["window_start"].to_numpy())
        return grouped

    def _logged(self, rows: pa.Table) -> dict[str, np.ndarray]:
        """Whether a flow log covers the interface at this end, and takes records of this action."""
        tables = self.tables
        accepted = rows["accepted"].to_numpy(zero_copy_only=False)
        found = {}
        for name, interface in (
            ("client_logged", tables.endpoint_interface[rows["client"].to_numpy()]),
            ("server_logged", tables.endpoint_interface[rows["server"].to_numpy()]),
            ("nat_logged", rows["nat"].to_numpy()),
        ):
            cover = tables.cover[interface]
            wanted = (tables.log_traffic[cover] == 0) | ((tables.log_traffic[cover] == 1) == accepted[:, None])
            found[name] = ((cover >= 0) & wanted).any(axis=1) & (interface >= 0)
        return found

    def add_records(
        self, batch: Connections, records: Records, rows: Ints, log: Ints, object_: Ints, line: Ints
    ) -> None:
        """rows index records; log, object_ and line say where each was written."""
        r = records.take(rows)
        c = r.connection
        point = r.point
        way = batch.way[c]
        leg = LEG_OF_POINT[point]
        # What the client's own interface sees of a connection that goes out by NAT is the inside of it.
        leg = np.where((way == NAT_GATEWAY) & (leg == 0), 1, leg)
        source = np.where(r.up, batch.client[c], batch.server[c])
        destination = np.where(r.up, batch.server[c], batch.client[c])
        table = pa.table(
            {
                "object": object_.astype(np.int32),
                "line": line.astype(np.int32),
                "flow_log": log.astype(np.int16),
                "connection": batch.id[c],
                "up": r.up,
                "point": _names(point, POINTS),
                "reporter": r.interface.astype(np.int32),
                "source": source.astype(np.int32),
                "destination": destination.astype(np.int32),
                "leg": _names(leg, LEGS),
                "way": _names(way, WAYS),
                "accepted": r.accepted,
                "start": r.start,
                "first_packet": r.first_packet,
                "last_packet": r.last_packet,
                "packets": r.packets,
                "bytes": r.bytes,
            }
        )
        self.records.write(table, r.start)

    def close_before(self, seconds: int) -> None:
        for hourly in (self.records, self.connections, self.conversations):
            hourly.close_before(seconds)

    def close(self) -> None:
        self.close_before(1 << 60)
