"""flowlake whois: who held this address then."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowlake.commands import CommandFailed

EPILOG = """\
Reads the observations in the lake (written by the inventory Lambda or flowlake collect) around the
moment and prints every interval of the address: from when to when, by which interface, what that was,
whose, with which tags, and how we know. A public IPv4 address (an Elastic IP, say) is asked for alike.

  ->  held       at the moment asked for: a primary address, which never leaves its interface, while that
                 lived; any other at a moment at which it was seen
  ->  presumed   a secondary or public address, or a delegated prefix, between two moments at which the same
                 interface was told to have it: right unless it went and came back with every event lost
   ?  maybe      after its last sight, with no end known
  !!  contested  another of the same VPC is told to have held it then too: neither is believed

exit codes: 0 somebody held it then, or is presumed to have; 1 nobody is known; 2 the command line made no sense.

examples:
  flowlake whois 10.0.1.5 --lake ./lake
  flowlake whois 10.0.1.5 --at 2026-01-01T14:03:00Z --vpc vpc-0123456789abcdef0 --lake ./lake --json
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("address", help="an IPv4 or IPv6 address, private or public")
    parser.add_argument("--lake", required=True, help="the lake: a folder, or s3://bucket/prefix")
    parser.add_argument("--at", help="the moment, ISO 8601, UTC unless it says otherwise (default: now)")
    parser.add_argument("--vpc", help="only in this VPC (default: in every VPC that has the address)")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(options: argparse.Namespace) -> int:
    from flowlake.flows.whois import BadAddress, MissingInventory, whois
    from flowlake.lake.hours import from_text
    from flowlake.lake.store import StoreError, open_store

    now = datetime.now(UTC)
    if not options.lake.startswith("s3://") and not Path(options.lake).is_dir():
        raise CommandFailed(f"--lake {options.lake}: there is no such folder")
    try:
        at = from_text(options.at) if options.at else now
    except ValueError as error:
        raise CommandFailed(f"--at {options.at}: write a moment like 2026-01-01T14:03:00Z", 2) from error
    try:
        found = whois(open_store(options.lake), options.address, at, now, options.vpc)
    except BadAddress as error:
        raise CommandFailed(str(error), 2) from error
    except MissingInventory as error:
        why = "the inventory Lambda or flowlake collect writes it"
        raise CommandFailed(f"{options.lake} has no inventory for it: {error} ({why})") from error
    except StoreError as error:
        raise CommandFailed(str(error)) from error
    rows = [held.as_row(round(at.timestamp() * 1000)) for held in found]
    if options.json:
        print(json.dumps({"address": options.address, "at": at.isoformat(), "intervals": rows}, indent=1))
    else:
        _print(options.address, at, rows)
        if rows and not any(row["answer"] for row in rows):
            print(f"nobody is known to have held it at {at:%Y-%m-%d %H:%M:%S} UTC", file=sys.stderr)
    return 0 if any(row["answer"] in ("held", "presumed") for row in rows) else 1


def _print(address: str, at: datetime, rows: list[dict[str, Any]]) -> None:
    if not rows:
        print(f"nobody is known to have held {address} around {at:%Y-%m-%d %H:%M:%S} UTC", file=sys.stderr)
    for row in rows:
        mark = {"held": "->", "presumed": "->", "maybe": " ?", "contested": "!!"}.get(row["answer"] or "", "  ")
        kind, name, zone = row["type"] or "unknown", _safe(row["name"] or "-"), row["az_id"] or ""
        owner = " ".join(_safe(t) for t in (row["account_id"], row["account_name"]) if t)
        until, vpc = row["to"] or "no end known", row["vpc_id"] or "VPC not known"
        print(f"{mark} {row['from']} to {until}  {vpc}  {row['interface_id']}")
        print(f"     {kind}  {name}  account {owner or '-'}  {zone}")
        for arn in row["arns"]:
            print(f"     {'one of ' if row['shared'] else ''}{_safe(arn)}")
        for what, tags in (("tags", row["tags"]), ("interface tags", row["interface_tags"])):
            said = (
                "not known then"
                if tags is None
                else ", ".join(f"{_safe(k)}={_safe(v)}" for k, v in sorted(tags.items())) or "none"
            )
            print(f"     {what}: {said}")
        print(f"     known by {row['known_by']}, ended by {row['ended_by'] or '-'}, last seen {row['seen_until']}")
        if row["answer"] == "presumed":
            after = row["told_after"] or row["seen_until"]
            print(f"     presumed: told to have it at {row['told_before']} and at {after}")


def _safe(text: str) -> str:
    """Untrusted text with control characters made visible."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
