"""Parquet flow logs: AWS's own types, other writers' types, damage."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.read import NotAFlowLog
from flowlake.flows.read.formats import FIELD_TYPES, Format
from flowlake.flows.read.typed import read_rows
from tests.flows.read.reading import V2, V2_LINE, read


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def test_the_types_that_aws_writes() -> None:
    result = read(
        parquet(
            {
                "version": pa.array([2, 2], pa.int32()),
                "account_id": ["123456789010", None],
                "srcaddr": ["10.0.0.1", None],
                "srcport": pa.array([22, None], pa.int32()),
                "bytes": pa.array([2**40, None], pa.int64()),
                "log_status": ["OK", "NODATA"],
            }
        )
    )
    assert result.rows == [
        {
            "version": 2,
            "account_id": "123456789010",
            "srcaddr": "10.0.0.1",
            "srcport": 22,
            "bytes": 2**40,
            "log_status": "OK",
        },
        {"version": 2, "account_id": None, "srcaddr": None, "srcport": None, "bytes": None, "log_status": "NODATA"},
    ]
    types = {field.name: field.type for field in result.blocks[0].records.schema}
    assert (types["srcport"], types["bytes"]) == (pa.int32(), pa.int64())
    assert types["srcaddr"] == pa.dictionary(pa.int32(), pa.utf8())


def test_the_types_that_others_write() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    result = read(
        parquet(
            {
                "account-id": [12345678901, 0],
                "srcaddr": pa.array(["10.0.0.1", "-"]).dictionary_encode(),
                "pkt-srcaddr": pa.array([b"10.0.0.1", b""], pa.large_binary()),
                "srcport": ["443", "None"],
                "dstport": [443.0, float("nan")],
                "packets": pa.array([7, None], pa.uint64()),
                "bytes": ["-", "12"],
                "start": pa.array([day, None], pa.timestamp("us", "UTC")),
                "action": ["ACCEPT", ""],
                "made_up": [[1], [2]],
            }
        )
    )
    assert result.rejects == []
    assert result.rows == [
        {
            "account_id": "012345678901",
            "srcaddr": "10.0.0.1",
            "pkt_srcaddr": "10.0.0.1",
            "srcport": 443,
            "dstport": 443,
            "packets": 7,
            "bytes": None,
            "start": 1767225600,
            "action": "ACCEPT",
        },
        {
            "account_id": "000000000000",
            "srcaddr": None,
            "pkt_srcaddr": None,
            "srcport": None,
            "dstport": None,
            "packets": None,
            "bytes": 12,
            "start": None,
            "action": None,
        },
    ]
    assert result.blocks[0].fields[-1] == "made_up"


def test_rows_that_break_a_rule_are_rejects_by_their_number() -> None:
    result = read(
        parquet(
            {
                "srcaddr": pa.array([b"10.0.0.1", b"nowhere", b"10.0.0.3", b"\xff", b"10.0.0.5"], pa.binary()),
                "srcport": ["1", "2", "3.5", "4", "65536"],
                "bytes": pa.array([1, 2, 3, 4, 5], pa.int64()),
            }
        )
    )
    assert result.rows == [{"srcaddr": "10.0.0.1", "srcport": 1, "bytes": 1}]
    assert result.rejects == [(2, "bad_address"), (3, "bad_number"), (4, "not_text"), (5, "bad_port")]
    assert result.texts == ["nowhere 2 2", "10.0.0.3 3.5 3", "\ufffd 4 4", "10.0.0.5 65536 5"]


def test_text_columns_that_are_not_utf_8_are_rejects() -> None:
    broken = pa.Array.from_buffers(pa.utf8(), 2, pa.array([b"10.0.0.1", b"\xff\xfe"], pa.binary()).buffers())
    result = read(parquet({"srcaddr": broken, "srcport": pa.array([1, 2], pa.int32())}))
    assert result.rejects == [(2, "not_text")]


@pytest.mark.parametrize("odd", [[[1]], [{"a": 1}], [True], [datetime(2026, 1, 1, tzinfo=UTC).date()]])
def test_columns_of_a_type_that_no_field_has_are_rejects(odd: list[Any]) -> None:
    result = read(parquet({"srcaddr": ["10.0.0.1"], "bytes": odd}))
    assert result.rows == []
    assert result.rejects[0][0] == 1


def test_wanted_columns_alone_are_read() -> None:
    content = parquet({"srcaddr": ["x"], "srcport": [1], "protocol": [999], "log_status": ["NODATA"]})
    assert read(content, columns=["srcport"]).rows == [{"srcport": 1}]
    assert read(content, columns=["protocol"]).rows == [{"protocol": 999}]
    assert read(content, columns=["vpc_id"]).lines == 1


def test_a_file_without_rows_still_tells_its_fields() -> None:
    (block,) = read(parquet({"srcaddr": pa.array([], pa.utf8()), "bytes": pa.array([], pa.int64())})).blocks
    assert (block.fields, block.lines, block.records.num_rows) == (("srcaddr", "bytes"), 0, 0)


def test_other_tables_are_no_flow_logs() -> None:
    with pytest.raises(NotAFlowLog):
        read(parquet({"region": ["eu-west-1"], "customer": ["x"], "price": [1.5]}))


def test_a_cut_or_damaged_file_is_one_reject() -> None:
    rows = 200_000
    columns = {"srcaddr": [f"10.0.{i // 250 % 250}.{i % 250}" for i in range(rows)], "bytes": list(range(rows))}
    content = parquet(columns, row_group_size=50_000)
    for broken in (content[:4], content[:1000], content[:-1], content[:-500] + content[-400:]):
        result = read(broken)
        assert result.rejects == [(None, "torn_parquet")]
        assert (result.rows, result.blocks[-1].torn) == ([], True)
        assert result.texts[0].startswith("nothing could be read: ")
    # Damage at the begin of the third row group: the rows before it are had, none twice.
    place = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(2).column(0).dictionary_page_offset
    result = read(content[:place] + b"\xff" * 400 + content[place + 400 :])
    assert result.rejects == [(None, "torn_parquet")]
    assert [row["bytes"] for row in result.rows] == list(range(100_000))
    assert result.rows[7] == {"srcaddr": "10.0.0.7", "bytes": 7}
    assert result.texts[0].startswith("the rows up to 100000 were read: ")
    assert [block.records.num_rows for block in result.blocks] == [65_536, 34_464, 0]


def test_parquet_inside_gzip_is_seen() -> None:
    import gzip

    assert read(gzip.compress(parquet({"srcaddr": ["10.0.0.1"]}))).rows == [{"srcaddr": "10.0.0.1"}]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_rows_read_as_the_same_values_in_a_line_would(data: st.DataObject) -> None:
    fields = data.draw(st.lists(st.sampled_from(sorted(FIELD_TYPES)), min_size=1, max_size=5, unique=True))
    values = st.sampled_from(["-", "10.0.0.1", "0", "6", "70000", "-3", "x", "OK", "NODATA", "ACCEPT", "9" * 19, "1.5"])
    rows = data.draw(st.lists(st.lists(values, min_size=len(fields), max_size=len(fields)), min_size=1, max_size=6))
    as_text = read("\n".join([" ".join(fields), *(" ".join(row) for row in rows)]).encode())
    arrays = {field: pa.array([row[place] for row in rows]) for place, field in enumerate(fields)}
    block = read_rows(arrays, Format(tuple(fields)), range(2, 2 + len(rows)))
    assert block.records.to_pylist() == as_text.rows
    assert [(item["line"], item["reason"]) for item in block.rejects.to_pylist()] == as_text.rejects


def test_a_row_says_what_the_line_says() -> None:
    row = dict(zip(V2.replace("-", "_").split(), V2_LINE.split(), strict=True))
    assert read(parquet({name: [value] for name, value in row.items()})).rows == read(f"{V2}\n{V2_LINE}".encode()).rows
