"""Measures a command as a whole: wall seconds, processor seconds and peak memory of it and of every process below it (the JVM, Python workers).

Processor time is the kernel's account of the command and its children; where a child outlives its parent's account (a killed worker), what was seen
of it while it ran counts. Peak memory of a process is the kernel's own high-water mark (VmHWM), read every tenth of a second. Linux; elsewhere
only the command's own figures are known.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICK = 0.1


@dataclass(frozen=True)
class Measured:
    """One run. peaks: peak memory in MB by kind of process (java, driver, worker, …), of the greatest of each kind."""

    wall: float
    cpu: float
    peaks: dict[str, int] = field(default_factory=dict)
    stdout: str = ""

    @property
    def peak(self) -> int:
        return max(self.peaks.values(), default=0)


class Failed(Exception):
    """The command did not end well."""


def measure(name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> Measured:
    """Runs a command to its end. Raises Failed with the end of what it said."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    seen = _Seen(process.pid)
    watcher = threading.Thread(target=seen.watch, daemon=True)
    watcher.start()
    said: dict[str, str] = {}
    readers = [
        threading.Thread(target=lambda n=n, s=s: said.__setitem__(n, s.read()))
        for n, s in (("out", process.stdout), ("err", process.stderr))
    ]  # type: ignore[union-attr]
    for reader in readers:
        reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    seen.ended.set()
    for thread in (*readers, watcher):
        thread.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{name} ended with {process.returncode}:\n{said['err'][-2000:]}")
    own = usage.ru_maxrss // (1024 if sys.platform != "darwin" else 1 << 20)
    peaks = seen.peaks()
    peaks["main"] = max(own if not seen.children() else 0, peaks.get("main", 0))
    return Measured(wall, max(usage.ru_utime + usage.ru_stime, seen.cpu()), peaks, said["out"])


class _Seen:
    """What was seen of a process and those below it."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.ended = threading.Event()
        self._seen: dict[int, tuple[str, int, float]] = {}

    def watch(self) -> None:
        while not self.ended.wait(TICK):
            self._look()

    def _look(self) -> None:
        parents: dict[int, int] = {}
        times: dict[int, float] = {}
        hertz = os.sysconf("SC_CLK_TCK")
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                rest = entry.read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            pid = int(entry.parent.name)
            parents[pid] = int(rest[1])
            times[pid] = (int(rest[11]) + int(rest[12])) / hertz
        below = {self.root}
        grew = True
        while grew:
            more = {pid for pid, parent in parents.items() if parent in below and pid not in below}
            below |= more
            grew = bool(more)
        for pid in below & set(parents):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            marks = [line for line in status.split("\n") if line.startswith("VmHWM")]
            if marks:
                kind = "main" if pid == self.root else _kind(command, parents.get(pid) == self.root)
                before = self._seen.get(pid, ("", 0, 0.0))
                self._seen[pid] = kind, max(before[1], int(marks[0].split()[1]) // 1024), max(before[2], times[pid])

    def peaks(self) -> dict[str, int]:
        peaks: dict[str, int] = {}
        for kind, peak, _ in self._seen.values():
            peaks[kind] = max(peaks.get(kind, 0), peak)
        return peaks

    def children(self) -> bool:
        return len(self._seen) > 1

    def cpu(self) -> float:
        return sum(cpu for _, _, cpu in self._seen.values())


def _kind(command: list[bytes], is_child: bool) -> str:
    if command and command[0].endswith(b"java"):
        return "JVM"
    if any(b"pyspark.daemon" in word or b"flowlake.flows.workers" in word for word in command):
        return "Python worker"
    return Path(os.fsdecode(command[0])).name if command and command[0] else "other"


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = "unknown processor"
    memory = 0
    try:
        for line in Path("/proc/cpuinfo").read_text().split("\n"):
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
        memory = int(Path("/proc/meminfo").read_text().split()[1]) >> 20
    except OSError:
        cpu = platform.processor() or cpu
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores, {memory} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
