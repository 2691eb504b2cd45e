"""The documentation says what the code does: table pages are those of the contracts, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowlake.commands import COMMANDS
from tools import table_pages

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_table_pages_are_what_the_contracts_say() -> None:
    assert table_pages.main(check=True) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_speaks_of_commands_that_exist() -> None:
    named = set(re.findall(r"flowlake (\w+) ", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named & set(COMMANDS)
    assert {name for name in named if name.islower()} <= set(COMMANDS) | {"query", "says"}
