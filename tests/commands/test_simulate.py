"""flowlake simulate on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowlake.cli import main


def test_it_writes_a_lake_and_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lake"
    assert main(["simulate", "--out", str(out), "--records", "1500", "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] > 1_000
    assert told["inventory"]["sweeps"] > 0
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == [
        "inventory", "known_networks.csv", "raw", "truth",
    ]  # fmt: skip


def test_it_writes_over_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert main(["simulate", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--accounts", "1"], "at least 2 accounts"),
        (["--hour", "tomorrow"], "is no hour"),
        (["--formats", "v9000"], "no format 'v9000'"),
        (["--delay", "-5"], "--delay must be at least 0"),
    ],
)
def test_sizes_that_make_no_sense_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["simulate", "--out", str(tmp_path / "new"), *options]) == 2
    assert words in capsys.readouterr().err
