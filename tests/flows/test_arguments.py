"""Arguments of the job: unknown, missing and abbreviated ones are errors, Glue's own are let through."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowlake.flows.arguments import BadArguments, parse_glue
from flowlake.lake.hours import Hour


@pytest.fixture(autouse=True)
def _lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder 'x', which is a lake where none is needed."""
    (tmp_path / "x").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)


GLUE = [
    "--JOB_NAME",
    "flowlake-enrich",
    "--TempDir",
    "s3://tmp/",
    "--enable-metrics",
    "--job-bookmark-option=job-bookmark-disable",
]


def test_what_glue_adds_is_set_apart() -> None:
    arguments, glue = parse_glue([*GLUE, "--lake", "s3://lake/flows", "--hour", "2026-01-01T00", "--hours", "2"])
    assert arguments.lake == "s3://lake/flows"
    assert arguments.hours == (Hour.parse("2026-01-01T00"), Hour.parse("2026-01-01T01"))
    assert glue == {
        "JOB_NAME": "flowlake-enrich",
        "TempDir": "s3://tmp/",
        "enable-metrics": "",
        "job-bookmark-option": "job-bookmark-disable",
    }


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--lake"),
        (["--lak", "x"], "--lake"),
        (["--lake", "x", "--windows", "60"], "--windows"),
        (["--lake", "x", "--hours", "2"], "--hours needs --hour"),
        (["--lake", "x", "--hour", "yesterday"], "'yesterday' is no hour"),
        (["--lake", "x", "--window-seconds", "61"], "61 s"),
        (["--lake", "x", "--window-seconds", "30"], "30 s"),
        (["--lake", "x", "--hour", "2026-01-01T00", "--hours", "0"], "at least one"),
        (["--lake", "x", "--catch-up", "-1"], "--catch-up"),
        (["--lake", "x", "--owner-tags", ","], "--owner-tags"),
        (["--lake", "x", "--known-networks", "nowhere.csv"], "nowhere.csv"),
        (["--lake", "x", "extra"], "extra"),
        (["--lake", "x", "--lake", "y"], "--lake is given twice"),
        (["--lake", "x", "--hour=2026-01-01T00", "--hour=2026-01-01T01"], "--hour is given twice"),
        (["--lake", "x", "--hour", ""], "--hour is empty"),
        (["--lake", ""], "--lake is empty"),
        (["--lake", "x", "--logs", " "], "--logs is empty"),
        (["--lake", "x", "--format", ""], "--format is empty"),
        (["--lake", "x", "--database", ""], "--database is empty"),
        (["--lake", "x", "--format", "version srcadr"], "no such field: srcadr"),
        (["--lake", "x", "--format", "hello"], "no field of a flow log"),
        (["--lake", "s3://"], "--lake: 's3://' names no bucket"),
        (["--lake", "ftp://there"], "not at ftp://"),
        (["--lake", "s3:/there"], "not at s3:/there"),
        (["--lake", "x", "--logs", "s3://there/AWSLogs/"], "name the place that holds AWSLogs"),
        (["--lake", "x", "--database", "../b c"], "--database ../b c: lower-case letters"),
        (["--lake", "x", "--catch-up", "99999999"], "at most 8784"),
        (["--lake", "x", "--hour", "9998-12-31T23", "--hours", "2"], "the year must be in"),
        (["--lake", "nowhere"], "--lake nowhere: there is no such folder"),
        (["--lake", "file"], "--lake file: this is no folder"),
        (["--lake", "new", "--logs", "nowhere"], "--logs nowhere: there is no such folder"),
        (["--lake", "x", "--hour", "9999-12-31T23"], "the year must be in 1970..9998"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_so(argv: list[str], said: str) -> None:
    with pytest.raises(BadArguments, match=said.replace("(", r"\(")):
        parse_glue([*GLUE, *argv])


def test_a_lake_is_made_where_the_flow_logs_lie_elsewhere() -> None:
    assert parse_glue(["--lake", "new", "--logs", "x"])[0].lake == "new"


def test_known_networks_are_checked_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "networks.csv"
    file.write_text("cidr,name\n10.9.0.0/16,office\n10.9.0.0/99,nowhere\n")
    with pytest.raises(BadArguments, match="line 3"):
        parse_glue(["--lake", "x", "--known-networks", str(file)])
    file.write_text("cidr,name\n10.9.0.0/16,office\n")
    assert parse_glue(["--lake", "x", "--known-networks", str(file)])[0].options.networks == file.read_text()


@pytest.mark.parametrize("text", ["10.9.0.0/16,office\r\n", "cidr,name\n10.9.0.0/16,office\n"])
def test_a_byte_order_mark_before_known_networks_makes_no_difference(tmp_path: Path, bucket: str, text: str) -> None:
    import boto3

    marked = text.encode("utf-8-sig")
    (tmp_path / "networks.csv").write_bytes(marked)
    boto3.session.Session().client("s3").put_object(Bucket=bucket, Key="a/networks.csv", Body=marked)
    for place in (str(tmp_path / "networks.csv"), f"s3://{bucket}/a/networks.csv"):
        networks = parse_glue(["--lake", "x", "--known-networks", place])[0].options.networks
        assert networks is not None
        assert networks.splitlines() == text.splitlines()
