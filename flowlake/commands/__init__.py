"""The commands of the command line, one module each: add(parser) says its options, run(options) does it."""

from __future__ import annotations

COMMANDS = {
    "demo": "A simulated estate, the whole way, on this machine.",
    "read": "What is in these flow log objects: records, NODATA, SKIPDATA and rejects.",
    "collect": "The inventory of your AWS accounts, by read-only calls from this machine.",
    "enrich": "Raw flow logs in, published conversations out, for one or more hours.",
    "whois": "Who held this address at that moment, what it was, and how we know.",
    "tables": "What was published: tables, partitions, runs.",
    "query": "Asks what was published in SQL, with DuckDB, through the catalog.",
    "simulate": "A simulated organisation on disk: flow logs, inventory, and the truth beside them.",
}


class CommandFailed(Exception):
    """Stops a command with a message for the user, in our words; the exit code is 1 or 2."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
