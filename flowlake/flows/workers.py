"""PySpark's daemon for Python workers, with what every worker needs loaded before it is forked: two seconds of
processor time each.

Spark starts it as python -m flowlake.flows.workers (spark.python.daemon.module, see spark.py).
"""

from __future__ import annotations

from importlib import import_module

import numpy as np


def main() -> None:
    """Forks workers as Spark asks for them, until it ends."""
    from pyspark import daemon

    load()
    daemon.manager()


def load() -> None:
    """Imports the steps, and has numba make itself ready, which it does at the first call of anything compiled."""
    for name in ("flowlake.flows.steps", "flowlake.flows.audit_digest"):
        import_module(name)
    from flowlake.flows.hashing import distinct

    distinct(np.zeros(1, dtype=np.int64))


if __name__ == "__main__":
    main()
