"""Whether flowlake and a peer published the same rows: bytes each way by client, server, port, protocol, action and window.

    python -m benchmarks.compare LAKE PEER_FOLDER

Ends are compared by interface and address; a difference is counted, and told by what flowlake says of the ends.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

KEYS = (
    "window_start", "protocol", "action", "client_addr", "client_interface_id", "server_addr", "server_interface_id", "server_port",
)  # fmt: skip


def compare(lake: Path, peer: Path) -> dict[str, Any]:
    """Counts of rows and bytes that are the same in both, and that only one has."""
    from benchmarks.peers_duckdb import connect

    db = connect()
    ours = sorted(str(p) for p in lake.glob("tables/conversations/dt=*/hour=*/run=*/*.parquet"))
    theirs = sorted(str(p) for p in peer.glob("*.parquet"))
    for name, files in (("ours", ours), ("theirs", theirs)):
        columns = ", ".join(f"epoch({key})::bigint as {key}" if key == "window_start" else key for key in KEYS)
        keyed = ", ".join(KEYS)
        try:
            db.execute(
                f"create table {name}_raw as select {columns}, uploaded, downloaded, records from read_parquet({files}, hive_partitioning = false)"
            )
        except Exception:  # the record by record peer keeps windows as whole seconds
            columns = keyed
            db.execute(
                f"create table {name}_raw as select {columns}, uploaded, downloaded, records from read_parquet({files}, hive_partitioning = false)"
            )
        db.execute(
            f"create table {name} as select {keyed}, sum(uploaded)::bigint as up, sum(downloaded)::bigint as down, sum(records)::bigint as records from {name}_raw group by all"
        )
    same = " and ".join(f"o.{key} is not distinct from t.{key}" for key in KEYS)
    rows = db.execute(
        f"""
        select count(*) filter (o.up = t.up and o.down = t.down and o.records = t.records) as same,
            count(*) filter (o.up is not null and t.up is not null and (o.up <> t.up or o.down <> t.down or o.records <> t.records)) as other_sums,
            count(*) filter (t.up is null) as only_flowlake, count(*) filter (o.up is null) as only_peer,
            coalesce(sum(o.up + o.down), 0)::bigint as flowlake_bytes, coalesce(sum(t.up + t.down), 0)::bigint as peer_bytes,
            coalesce(sum(o.up + o.down) filter (t.up is null), 0)::bigint as only_flowlake_bytes,
            coalesce(sum(t.up + t.down) filter (o.up is null), 0)::bigint as only_peer_bytes
        from ours o full join theirs t on {same}
        """
    )
    names = [column[0] for column in rows.description]
    told: dict[str, Any] = dict(zip(names, rows.fetchall()[0], strict=True))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument("lake", type=Path)
    parser.add_argument("peer", type=Path)
    options = parser.parse_args()
    print(json.dumps(compare(options.lake, options.peer)))


if __name__ == "__main__":
    main()
