"""What the reader's tests share: bytes in, rows and rejects out, with the count of lines checked."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from flowlake.flows.read import Block, read_blocks

V2 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
V2_LINE = (
    "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
)


@dataclass(frozen=True)
class Result:
    rows: list[dict[str, Any]]
    rejects: list[tuple[int | None, str]]
    texts: list[str]
    lines: int
    blocks: list[Block]


def read(content: bytes, **options: Any) -> Result:
    """Everything in an object; each line is a record or a reject, what stands for the object has no line."""
    blocks = list(read_blocks(io.BytesIO(content), "test", **options))
    rows = [row for block in blocks for row in block.records.to_pylist()]
    rejects = [reject for block in blocks for reject in block.rejects.to_pylist()]
    lines = sum(block.lines for block in blocks)
    assert lines == sum(block.records.num_rows for block in blocks) + sum(item["line"] is not None for item in rejects)
    assert [block.torn for block in blocks[:-1]] == [False] * len(blocks[:-1])
    assert all(len(item["text"]) <= 1000 for item in rejects)
    return Result(
        rows,
        [(item["line"], item["reason"]) for item in rejects],
        [item["text"] for item in rejects],
        lines,
        blocks,
    )
