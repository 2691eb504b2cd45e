"""A small run of benchmarks.fuzz_reader, which does the same with ten million lines."""

from __future__ import annotations

import pytest

from benchmarks import fuzz_reader


@pytest.mark.parametrize("seed", [1, 2])
def test_generated_lines_are_all_accounted_for(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_reader, "LINES_AN_OBJECT", 1500)
    tally = fuzz_reader.run(10_000, seed)
    assert tally["generated"] == 10_000
    assert tally["records"] > 2000
    assert {"bad_number", "not_text", "wrong_field_count", "bad_address"} <= set(tally)
