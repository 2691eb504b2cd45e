"""flowlake read: records to stdout, rejects and counts to stderr, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowlake.cli import main
from tests.flows.read.reading import V2, V2_LINE

NODATA = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"
SKIPDATA = NODATA.replace("NODATA", "SKIPDATA")

LACKS_V2 = ["vpc_id", "pkt_srcaddr", "pkt_dstaddr", "tcp_flags", "flow_direction", "traffic_path"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "flow.log.gz"
    path.write_bytes(
        gzip.compress(f"{V2}\n{V2_LINE}\n{NODATA}\n{SKIPDATA}\n{V2_LINE.replace('ACCEPT', 'DROP')}\n".encode())
    )
    return path


def test_records_go_to_stdout_and_rejects_to_stderr(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(log)]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "version": 2,
            "account_id": "123456789010",
            "interface_id": "eni-1235b8ca123456789",
            "srcaddr": "172.31.16.139",
            "dstaddr": "172.31.16.21",
            "srcport": 20641,
            "dstport": 22,
            "protocol": 6,
            "packets": 20,
            "bytes": 4249,
            "start": 1418530010,
            "end": 1418530070,
            "action": "ACCEPT",
            "log_status": "OK",
        },
        *[
            {
                "version": 2,
                "account_id": "123456789010",
                "interface_id": "eni-1235b8ca123456789",
                "srcaddr": None,
                "dstaddr": None,
                "srcport": None,
                "dstport": None,
                "protocol": None,
                "packets": None,
                "bytes": None,
                "start": 1431280876,
                "end": 1431280934,
                "action": None,
                "log_status": status,
            }
            for status in ("NODATA", "SKIPDATA")
        ],
    ]
    reject, counts = err.splitlines()
    text = V2_LINE.replace("ACCEPT", "DROP")
    assert json.loads(reject) == {"file": str(log), "line": 5, "reason": "bad_action", "text": text}
    assert counts == f"1 records, 1 NODATA, 1 SKIPDATA, 1 rejects; the format lacks {', '.join(LACKS_V2)}"


def test_json_counts(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(log), str(log), "--json"]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    counts = {"records": 2, "nodata": 2, "skipdata": 2, "rejects": 2}
    assert json.loads(last) == {**counts, "format_lacks": LACKS_V2, "no_flow_logs": []}


def test_nodata_lines_do_not_tell_what_a_format_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a writer that leaves out what is null."""
    record = {**dict.fromkeys(V2.split(), 1), "action": "ACCEPT", "log-status": "OK"}
    record |= {"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "interface-id": "eni-1"}
    nodata = {"interface-id": "eni-1", "start": 1, "end": 2, "log-status": "NODATA"}
    path = tmp_path / "objects.json"
    path.write_text(json.dumps(record) + "\n" + json.dumps(nodata))
    assert main(["read", str(path), "--json"]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    counts = {"records": 1, "nodata": 1, "skipdata": 0, "rejects": 0}
    assert json.loads(last) == {**counts, "format_lacks": LACKS_V2, "no_flow_logs": []}


def test_a_format_log_and_a_log_without_log_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.log"
    path.write_text("10.0.0.1 22\n- -\n")
    assert main(["read", str(path), "--format", "${srcaddr} ${srcport}"]) == 0
    out, err = capsys.readouterr()
    assert out == '{"srcaddr": "10.0.0.1", "srcport": 22}\n{"srcaddr": null, "srcport": null}\n'
    counts, lacks = err.split("; the format lacks ")
    assert counts == "2 records, 0 NODATA, 0 SKIPDATA, 0 rejects"
    assert lacks.startswith("interface_id, dstaddr, dstport, protocol, packets, bytes, start,")


def test_no_flow_log_at_all_is_exit_2_and_said(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.log"
    bad.write_text("Phony unsupported log format.\n")
    assert main(["read", str(bad), str(log)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    first, *_, counts, last = err.splitlines()
    assert json.loads(first)["reason"] == "not_a_flow_log"
    assert counts.startswith("1 records, 1 NODATA, 1 SKIPDATA, 2 rejects; the format lacks vpc_id,")
    assert last == f"flowlake read: no flow log, as no line of it could be read: {bad}"
    assert main(["read", str(log), str(bad), "--json"]) == 2
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["no_flow_logs"] == [str(bad)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.log"], "no such file: missing.log"),
        (["/"], "/ is a folder"),
        ([__file__, "--format", "srcadr bytes"], "no such field: srcadr"),
        ([__file__, "--format", "hello"], "no field of a flow log"),
    ],
)
def test_what_makes_no_sense_is_exit_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", *arguments]) == 2
    assert said in capsys.readouterr().err


def flowlake(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flowlake.cli", *arguments]


def test_stdin_is_read(log: Path) -> None:
    done = subprocess.run(flowlake("read", "-"), input=log.read_bytes(), capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 3


def test_a_pipe_is_read_as_a_file_is(log: Path) -> None:
    """Such as the shell's <(…) makes, which is no regular file."""
    reading, writing = os.pipe()
    os.write(writing, log.read_bytes())
    os.close(writing)
    done = subprocess.run(flowlake("read", f"/dev/fd/{reading}"), pass_fds=[reading], capture_output=True)
    os.close(reading)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("read - <&-", 2, "stdin is closed: there is nothing to read"),
        ("read {log} >&-", 0, "1 records, 1 NODATA, 1 SKIPDATA, 1 rejects"),
        ("read {log} >/dev/full", 1, "can't write the records: No space left on device"),
    ],
)
def test_what_the_shell_closed_or_filled_is_said_in_one_line(log: Path, redirected: str, code: int, said: str) -> None:
    command = f"{sys.executable} -m flowlake.cli {redirected.format(log=log)}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/sh\n", ["wrong_field_count"] * 2),
        (b"# A title\n\nSome words of text.\n", ["wrong_field_count"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\n", ["not_text"] * 3),  # \x89, \x1a and the zeros
        (b"\x1f\x8b" + bytes(range(60, 90)), ["torn_gzip"]),
        (b"PAR1" + bytes(range(60, 90)), ["torn_parquet"]),
        (b"srcaddr bytes\n10.0.0.1 x\n", ["bad_number"]),
    ],
    ids=["passwd", "readme", "picture", "gzip", "parquet", "bad lines"],
)
def test_a_file_of_which_no_line_was_read_is_no_flow_log_though_a_format_was_given(
    content: bytes, reasons: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(content)
    assert main(["read", str(path), "--format", "srcaddr bytes"]) == 2
    *rejects, counts, said = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["reason"] for line in rejects] == reasons
    assert counts.startswith(f"0 records, 0 NODATA, 0 SKIPDATA, {len(reasons)} rejects")
    assert said == f"flowlake read: no flow log, as no line of it could be read: {path}"


@pytest.mark.parametrize("content", [b"srcaddr bytes\n", b"\x89PNG\n10.0.0.1 5\n", b""])
def test_one_line_makes_a_flow_log_and_so_does_a_header_without_any(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(content)
    assert main(["read", str(path), "--format", "srcaddr bytes"]) == 0


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_text(V2 + "\n" + (V2_LINE + "\n") * 100_000)
    running = subprocess.Popen(flowlake("read", str(path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    assert json.loads(running.stdout.readline())["version"] == 2
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait() == 0
