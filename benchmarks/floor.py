"""The floor: inflating every raw object and splitting its lines into values, and nothing else, on all cores.

    python -m benchmarks.floor {fastest|python} FOLDER

    fastest   ISA-L, and Arrow's CSV reader that converts no column but the first: the fastest that packages offer
    python    gzip and bytes.split, as the standard library has them

Any program that reads flow logs does at least this. Prints JSON: records.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
from pathlib import Path

BLOCK_BYTES = 16 << 20


def fastest(path: str) -> int:
    """Records of an object, split by Arrow: every value is looked for, none is converted but those of the first."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    from flowlake.flows.read.inflate import Inflated
    from flowlake.flows.read.objects import whole_lines

    records = 0
    with open(path, "rb") as stream:
        names: list[str] | None = None
        for data in whole_lines(Inflated(stream), BLOCK_BYTES):
            if names is None:
                header, _, data = data.partition(b"\n")
                names = header.decode().split(" ")
            table = pacsv.read_csv(
                pa.BufferReader(data),
                read_options=pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                parse_options=pacsv.ParseOptions(
                    delimiter=" ", quote_char=False, double_quote=False, newlines_in_values=False
                ),
                convert_options=pacsv.ConvertOptions(include_columns=names[:1]),
            )
            records += table.num_rows
    return records


def python(path: str) -> int:
    """Records of an object, split line by line."""
    records = -1  # the header is none
    with gzip.open(path) as lines:
        for line in lines:
            line.split()
            records += 1
    return records


WAYS = {"fastest": fastest, "python": python}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor")
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    paths = sorted(str(path) for path in options.folder.glob("lake/raw/**/*.log.gz"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with multiprocessing.Pool(cores) as pool:
        records = sum(pool.imap_unordered(WAYS[options.way], paths))
    print(json.dumps({"records": records}))


if __name__ == "__main__":
    main()
