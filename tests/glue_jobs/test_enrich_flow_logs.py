"""The script that Glue starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from glue_jobs import enrich_flow_logs


def test_bad_arguments_end_with_2_and_say_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert enrich_flow_logs.main(["--JOB_RUN_ID", "jr_1", "--lake", "x", "--unknown", "1"]) == 2
    assert "--unknown" in capsys.readouterr().err


def test_nothing_to_do_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrich_flow_logs.main(["--lake", str(tmp_path), "--hour", "2026-01-01T00"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_the_job_is_committed_only_after_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Job:
        def commit(self) -> None:
            done.append("commit")

    monkeypatch.setattr(enrich_flow_logs, "_glue_job", lambda glue: done.append(f"init {glue['JOB_NAME']}") or Job())
    monkeypatch.setattr(enrich_flow_logs, "run", lambda arguments, log, local: done.append(f"run local={local}"))
    assert enrich_flow_logs.main(["--JOB_NAME", "flowlake-enrich", "--lake", "s3://lake"]) == 0
    assert done == ["init flowlake-enrich", "run local=False", "commit"]

    def fails(arguments: object, log: object, local: bool) -> None:
        raise RuntimeError("the audit failed")

    monkeypatch.setattr(enrich_flow_logs, "run", fails)
    with pytest.raises(RuntimeError):
        enrich_flow_logs.main(["--JOB_NAME", "flowlake-enrich", "--lake", "s3://lake"])
    assert done.count("commit") == 1
