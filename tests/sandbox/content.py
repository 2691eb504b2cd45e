"""What an estate says, whatever it was compressed with: for digests and comparisons."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pyarrow.parquet as pq


def content(path: Path) -> bytes:
    """A file's content: inflated text, or the rows of Parquet."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        return repr(pq.read_table(path).to_pydict()).encode()
    return path.read_bytes()


def files(lake: Path) -> list[Path]:
    hidden = {".flowlake-locks"}
    return sorted(p for p in lake.rglob("*") if p.is_file() and not hidden & set(p.relative_to(lake).parts))


def digest(lake: Path) -> str:
    """Of all names and contents, in the order of the names."""
    sums = hashlib.sha256()
    for path in files(lake):
        sums.update(str(path.relative_to(lake)).encode() + b"\0" + hashlib.sha256(content(path)).digest())
    return sums.hexdigest()
