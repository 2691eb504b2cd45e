"""Writes docs/tables/*.md from the table contracts: python -m tools.table_pages [--check].

A page's text above the marker is written by hand and kept; below it stands what the contract says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flowlake.lake.contracts import Contract, contract, tables

MARKER = "<!-- below: written from the contract by python -m tools.table_pages -->"
FOLDER = Path(__file__).parent.parent / "docs" / "tables"


def page(table: Contract, by_hand: str) -> str:
    """The whole page: what was written by hand, then partitions and columns."""
    lines = [by_hand.rstrip(), "", MARKER, "", f"**One row is:** {table.grain}", "", table.comment, ""]
    lines += ["| column | type | null | meaning |", "| --- | --- | --- | --- |"]
    for column in table.columns:
        lines.append(
            f"| `{column.name}` | {_code(column.type)} | {'no' if column.required else 'yes'} "
            f"| {_cell(column.comment)} |"
        )
    for column in table.partitions:
        lines.append(f"| `{column.name}` (partition) | {_code(column.type)} | no | {_cell(column.comment)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def by_hand(path: Path, table: str) -> str:
    """What stands above the marker, or a first heading."""
    if not path.exists():
        return f"# {table}"
    return path.read_text(encoding="utf-8").partition(MARKER)[0]


def main(check: bool) -> int:
    """Writes the pages, or says which are not what the contracts say."""
    stale = []
    for name in tables():
        path = FOLDER / f"{name}.md"
        text = page(contract(name), by_hand(path, name))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"not what the contracts say: {', '.join(stale)}; run python -m tools.table_pages", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
