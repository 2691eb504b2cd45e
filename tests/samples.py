"""The published samples: flow logs, payloads and parse results of others, kept beside the repository, not in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = Path(os.environ.get("FLOWLAKE_SAMPLES", REPOSITORY / "../shared/samples"))


def sample(name: str) -> Path:
    """The path of a sample; skips the test where the samples are not there, and says so."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"NO SAMPLES: {path} is missing; set FLOWLAKE_SAMPLES to the folder of the samples")
    return path
