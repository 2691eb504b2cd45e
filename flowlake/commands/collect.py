"""flowlake collect: the sweep that the Lambda does, from a laptop, with read-only credentials."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowlake.commands import CommandFailed
from flowlake.inventory import accounts, permissions, ranges
from flowlake.inventory.aws import GLOBAL, Aws, resolve_host
from flowlake.inventory.describe import KINDS, ORGANISATION_KINDS
from flowlake.inventory.sweep import SweepResult, new_task, report_unreachable, sweep
from flowlake.lake.arns import partition_of
from flowlake.lake.store import ObjectStore, StoreError, open_store

EXAMPLES = """\
It only reads: `flowlake collect --print-policy` prints the IAM policy that it needs, and no more.
What it saw goes to LAKE/inventory; run it again at any time, each sweep is a new sight.

exit codes: 0 all was seen; 1 something could not be read (it is named; the rest was kept);
2 the command line made no sense, or the credentials are none.

examples:
  flowlake collect --lake ./lake
  flowlake collect --lake s3://my-lake --profile audit --region eu-west-1 --region us-east-1
  flowlake collect --lake ./lake --role-arn arn:aws:iam::123456789012:role/flowlake --external-id secret
  flowlake collect --lake ./lake --accounts-from-organizations --role-arn 'arn:aws:iam::{account_id}:role/flowlake'
  flowlake collect --print-policy
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--lake", help="folder or s3://bucket/prefix that the observations go to")
    parser.add_argument("--profile", help="profile of the AWS configuration to use")
    parser.add_argument(
        "--region", action="append", default=[], metavar="REGION", help="region to look at (repeat; all enabled ones)"
    )
    parser.add_argument(
        "--role-arn", action="append", default=[], metavar="ARN", help="role to assume in an account (repeat)"
    )
    parser.add_argument("--external-id", help="external id that the roles ask for")
    parser.add_argument(
        "--accounts-from-organizations",
        action="store_true",
        help="all accounts of the organisation; --role-arn holds {account_id}",
    )
    parser.add_argument("--kinds", help=f"kinds to look at, with commas ({', '.join(KINDS)})")
    parser.add_argument("--keep-tag", action="append", metavar="KEY", help="tag key to keep (repeat; all of them)")
    parser.add_argument(
        "--ip-ranges",
        metavar="FILE",
        nargs="?",
        const=ranges.PUBLISHED_AT,
        help="also keep the AWS address ranges: from their published address, or from FILE",
    )
    parser.add_argument("--no-dns", action="store_true", help="do not resolve the databases' endpoint names")
    parser.add_argument("--print-policy", action="store_true", help="print the IAM policy that this needs, and stop")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


@dataclass(frozen=True)
class Target:
    """One sweep to do."""

    member: accounts.Member
    region: str
    kinds: tuple[str, ...]


def run(options: argparse.Namespace) -> int:
    kinds = _kinds(options)
    if options.print_policy:
        print(json.dumps(_policy(options, kinds), indent=2))
        return 0
    if not options.lake:
        raise CommandFailed("say where to with --lake", 2)
    _check(options)
    try:
        store = open_store(options.lake)
        session = _session(options)
        results = [_do(target, session, store, options) for target in _targets(options, session, kinds)]
        kept = _keep_ranges(options.ip_ranges, store)
    except accounts.AccountUnreachable as error:
        raise CommandFailed(str(error), 2) from error
    except (StoreError, ranges.BadRanges, OSError) as error:
        raise CommandFailed(str(error)) from error
    _report(results, kept, options)
    return 1 if any(result.failures for result in results) else 0


def _kinds(options: argparse.Namespace) -> tuple[str, ...]:
    """The kinds to look at; the organisation's own are no account's and are refused where it is not asked."""
    if options.kinds is None:
        return KINDS
    asked = [kind.strip() for kind in options.kinds.split(",") if kind.strip()]
    unknown = sorted({*asked} - {*KINDS, *ORGANISATION_KINDS})
    if unknown or not asked:
        raise CommandFailed(f"no kind is called {', '.join(unknown) or 'nothing'}; there are {', '.join(KINDS)}", 2)
    of_the_organisation = [kind for kind in ORGANISATION_KINDS if kind in asked]
    if of_the_organisation and not options.accounts_from_organizations:
        raise CommandFailed(f"--kinds {', '.join(of_the_organisation)} needs --accounts-from-organizations", 2)
    return tuple(dict.fromkeys(asked))


def _policy(options: argparse.Namespace, kinds: tuple[str, ...]) -> dict[str, Any]:
    wanted = {*kinds}
    if not options.region and wanted - {*ORGANISATION_KINDS}:
        wanted.add("regions")
    if options.accounts_from_organizations:
        wanted.update(ORGANISATION_KINDS)
    roles = [arn.replace(accounts.ACCOUNT_PLACE, "*") for arn in options.role_arn]
    partition = partition_of(options.region[0] if options.region else None)
    return permissions.policy(wanted, roles, options.lake, options.ip_ranges is not None, partition)


def _check(options: argparse.Namespace) -> None:
    """Refuses what makes no sense before anything is asked."""
    if options.accounts_from_organizations and len(options.role_arn) != 1:
        raise CommandFailed("--accounts-from-organizations needs one --role-arn with {account_id} in it", 2)
    if options.external_id and not options.role_arn:
        raise CommandFailed("--external-id belongs to a --role-arn", 2)
    try:
        for arn in options.role_arn:
            if options.accounts_from_organizations:
                arn = arn.replace(accounts.ACCOUNT_PLACE, "0" * 12)
            accounts.member_of(arn)
    except accounts.BadRole as error:
        raise CommandFailed(str(error), 2) from error


def _session(options: argparse.Namespace) -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        home = options.region[0] if options.region else None
        session = boto3.session.Session(profile_name=options.profile, region_name=home)
        if session.region_name is None:
            session = boto3.session.Session(profile_name=options.profile, region_name="us-east-1")
    except BotoCoreError as error:
        raise CommandFailed(str(error), 2) from error
    return session


def _targets(options: argparse.Namespace, session: Any, kinds: tuple[str, ...]) -> Iterator[Target]:
    """Every account and region to sweep, the organisation's accounts themselves first."""
    from botocore.exceptions import BotoCoreError, ClientError

    regional = tuple(kind for kind in kinds if kind not in ORGANISATION_KINDS)
    own = accounts.own_account_id(session)
    if options.accounts_from_organizations:
        yield Target(accounts.Member(own), GLOBAL, ORGANISATION_KINDS)
        if not regional:
            return
        try:
            organisation = accounts.organisation_of(session, own)
            members = list(
                accounts.members_of_organisation(organisation, options.role_arn[0], options.external_id, own)
            )
        except (ClientError, BotoCoreError, accounts.BadRole) as error:
            raise CommandFailed(f"the organisation's accounts can't be listed: {error}") from error
    elif options.role_arn:
        members = [accounts.member_of(arn, options.external_id) for arn in options.role_arn]
    else:
        members = [accounts.Member(own)]
    for member in sorted(members, key=lambda member: member.account_id):
        for region in options.region or _regions(member, session):
            yield Target(member, region, regional)


def _regions(member: accounts.Member, session: Any) -> list[str]:
    """The account's enabled regions; where they can't be had the session's own, whose sweep will tell why."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return accounts.regions_of(accounts.aws_of(member, session.region_name, session))
    except (accounts.AccountUnreachable, ClientError, BotoCoreError):
        return [session.region_name]


def _do(target: Target, session: Any, store: ObjectStore, options: argparse.Namespace) -> SweepResult:
    """One sweep, told while it goes on."""
    task = new_task(target.member.account_id, target.region, _now(), target.kinds, options.keep_tag)
    where = f"{target.member.account_id} {target.region}"
    try:
        aws = accounts.aws_of(target.member, target.region, session, None if options.no_dns else resolve_host)
    except accounts.AccountUnreachable as error:
        _say(options, f"{where}: {error}")
        return report_unreachable(task, error, store.put, _now)
    result = sweep(task, _Telling(aws, where, options), store.put, _now)
    seen = sum(result.items.values())
    _say(options, f"{where}: {seen} entities in {sum(result.calls.values())} calls, {len(result.failures)} failures")
    return result


class _Telling(Aws):
    """Says which service is asked, as it goes."""

    def __init__(self, aws: Aws, where: str, options: argparse.Namespace):
        super().__init__(aws.session, aws.account_id, aws.region, aws._resolve)
        self._where, self._options = where, options

    def client(self, service: str) -> Any:
        if service not in self._clients:
            _say(self._options, f"{self._where}: {service} …")
        return super().client(service)


def _now() -> datetime:
    return datetime.now(UTC)


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        print(text, file=sys.stderr, flush=True)


def _keep_ranges(source: str | None, store: ObjectStore) -> ranges.Change | None:
    if source is None:
        return None
    data = ranges.fetch() if source == ranges.PUBLISHED_AT else Path(source).read_bytes()
    return ranges.keep(store, data)


def _report(results: list[SweepResult], kept: ranges.Change | None, options: argparse.Namespace) -> None:
    items: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for result in results:
        items.update(result.items)
        types.update(result.interface_types)
    if options.json:
        print(json.dumps(_as_json(results, items, types, kept), indent=2))
        return
    _print_table("seen", items)
    _print_table("interfaces by what they are", types)
    print(f"unclassified interfaces: {types.get('unclassified', 0)}")
    for result in results:
        for failure in result.failures:
            what = "everything" if failure.kind == "*" else failure.kind
            print(
                f"FAILED {result.task.account_id} {result.task.region} {what}: {failure.error}: {failure.message}",
                file=sys.stderr,
            )
    if kept:
        news = f"{kept.began} began, {kept.ended} ended" if kept.is_newer else "nothing newer"
        print(f"address ranges: {kept.holding} hold, {news}")
    objects, rows = sum(result.objects for result in results), sum(result.rows for result in results)
    print(f"{rows} rows in {objects} objects under {options.lake}")


def _print_table(title: str, counts: Counter[str]) -> None:
    print(title)
    width = max((len(name) for name in counts), default=0)
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if count:
            print(f"  {name:<{width}}  {count:>8}")
    if not any(counts.values()):
        print("  nothing")


def _as_json(
    results: list[SweepResult], items: Counter[str], types: Counter[str], kept: ranges.Change | None
) -> dict[str, Any]:
    return {
        "items": dict(sorted(items.items())),
        "interface_types": dict(sorted(types.items())),
        "unclassified": types.get("unclassified", 0),
        "sweeps": [
            {
                "account_id": result.task.account_id,
                "region": result.task.region,
                "sweep_id": result.task.sweep_id,
                "complete": list(result.complete),
                "not_offered": list(result.task.not_offered),
                "failures": [vars(failure) for failure in result.failures],
                "rows": result.rows,
                "objects": result.objects,
                "calls": result.calls,
                "marker": result.marker_key,
            }
            for result in results
        ],
        "ip_ranges": vars(kept) if kept else None,
    }
