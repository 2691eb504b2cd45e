"""What a batch of events costs: objects written, API calls made, time, and what a cold start imports.

    python -m benchmarks.events [--events 500] [--accounts 1] [--regions 1] [--repeat 5] [--json]

The events are generated in the shares in which a busy account has them; AWS is a stub that answers at once, so that the
time is the handler's own. API calls are counted page by page.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flowlake.inventory.batch import Message, handle
from flowlake.lake.store import FolderStore
from flowlake.sandbox.trail import api_call, instance_state, tag_change
from tools.package import ROOT, lambda_zip

AT = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
NOW = AT + timedelta(minutes=2)

SHARES = {
    # what happens: how often, of a hundred
    "tag change": 30,
    "create interface": 14,
    "attach interface": 14,
    "detach interface": 6,
    "delete interface": 14,
    "instance running": 5,
    "instance terminated": 5,
    "create tags": 4,
    "associate address": 2,
    "security group rule": 2,
    "route": 1,
    "listener": 1,
    "not needed": 2,
}


class Stub:
    """AWS of one account and region, as inventory.aws.Aws: it knows whatever it is asked for, and answers at once."""

    def __init__(self, account_id: str, region: str):
        self.account_id, self.region = account_id, region
        self.calls: Counter[str] = Counter()

    def client(self, service: str) -> Client:
        return Client(self, service)

    def addresses_of(self, host: str) -> None:
        return None


class Client:
    """A client of the stub."""

    def __init__(self, aws: Stub, service: str):
        self.aws, self.service = aws, service

    def name(self, operation: str) -> str:
        return f"{self.service}:" + "".join(part.capitalize() for part in operation.split("_"))

    def pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.aws.calls[self.name(operation)] += 1
        filters = arguments.get("Filters") or [{"Name": "", "Values": []}]
        values, by = filters[0]["Values"], filters[0]["Name"]
        if operation == "describe_network_interfaces":
            yield {"NetworkInterfaces": [self.interface(value, by) for value in values]}
        elif operation == "describe_instances":
            yield {
                "Reservations": [{"Instances": [{"InstanceId": v, "VpcId": "vpc-1", "SubnetId": "s"} for v in values]}]
            }
        elif operation == "describe_addresses":
            yield {"Addresses": [{"AllocationId": value, "PublicIp": "192.0.2.1"} for value in values]}
        elif operation == "describe_security_groups":
            yield {"SecurityGroups": [{"GroupId": value, "IpPermissions": []} for value in values]}
        elif operation == "describe_route_tables":
            yield {"RouteTables": [{"RouteTableId": value, "VpcId": "vpc-1", "Routes": []} for value in values]}
        elif operation == "describe_load_balancers":
            yield {
                "LoadBalancers": [
                    {"LoadBalancerArn": arn, "Type": "application"} for arn in arguments["LoadBalancerArns"]
                ]
            }
        elif operation == "describe_listeners":
            yield {"Listeners": [{"Port": 443}]}
        else:
            raise AssertionError(f"the stub was asked for {operation}")

    def interface(self, value: str, by: str) -> dict[str, Any]:
        instance = value if by == "attachment.instance-id" else "i-0bbbbbbbbbbbbbbb1"
        number = value if by == "network-interface-id" else "eni-0" + value[-16:]
        return {
            "NetworkInterfaceId": number,
            "VpcId": "vpc-1",
            "SubnetId": "subnet-1",
            "OwnerId": self.aws.account_id,
            "PrivateIpAddress": "10.0.0.5",
            "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": "10.0.0.5"}],
            "Groups": [{"GroupId": "sg-1"}],
            "Attachment": {"AttachmentId": "eni-attach-1", "InstanceId": instance, "AttachTime": AT},
            "TagSet": [{"Key": "owner", "Value": "data"}],
        }


def events(count: int, accounts: int = 1, regions: int = 1, seed: int = 1) -> list[dict[str, Any]]:
    """Events in the shares above, of interfaces and instances that are all different ones."""
    dice = random.Random(seed)
    places = [
        (f"{number + 1:012d}", region)
        for number in range(accounts)
        for region in ("us-east-1", "eu-central-1", "eu-west-1", "ap-south-1")[:regions]
    ]
    happen = dice.choices(list(SHARES), list(SHARES.values()), k=count)
    return [event(what, number, *dice.choice(places)) for number, what in enumerate(happen)]


def event(what: str, number: int, account_id: str, region: str) -> dict[str, Any]:
    """One event. number makes its ids."""
    at = AT + timedelta(milliseconds=100 * number)
    place = {"account_id": account_id, "region": region, "at": at}
    interface, instance = f"eni-0{number:016x}", f"i-0{number:016x}"
    arn = f"arn:aws:elasticloadbalancing:{region}:{account_id}:"
    calls: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
        "create interface": (
            "ec2",
            "CreateNetworkInterface",
            {"SubnetId": "subnet-1"},
            {
                "NetworkInterface": {
                    "NetworkInterfaceId": interface,
                    "SubnetId": "subnet-1",
                    "VpcId": "vpc-1",
                    "OwnerId": account_id,
                    "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": "10.0.0.5"}],
                }
            },
        ),
        "attach interface": (
            "ec2",
            "AttachNetworkInterface",
            {"NetworkInterfaceId": interface, "InstanceId": instance, "DeviceIndex": 1},
            {"AttachmentId": f"eni-attach-0{number:016x}"},
        ),
        "detach interface": ("ec2", "DetachNetworkInterface", {"AttachmentId": f"eni-attach-0{number:016x}"}, {}),
        "delete interface": ("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": interface}, {}),
        "create tags": (
            "ec2",
            "CreateTags",
            {"Resources": [interface], "Tags": [{"Key": "owner", "Value": "data"}]},
            {},
        ),
        "associate address": (
            "ec2",
            "AssociateAddress",
            {"AllocationId": f"eipalloc-0{number:016x}", "NetworkInterfaceId": interface},
            {"AssociationId": "eipassoc-1"},
        ),
        "security group rule": ("ec2", "AuthorizeSecurityGroupIngress", {"GroupId": f"sg-0{number:016x}"}, {}),
        "route": ("ec2", "CreateRoute", {"RouteTableId": f"rtb-0{number:016x}"}, {"Return": True}),
        "listener": (
            "elbv2",
            "CreateListener",
            {"LoadBalancerArn": f"{arn}loadbalancer/app/web/{number:016x}"},
            {},
        ),
        "not needed": ("ec2", "CreateSnapshot", {"VolumeId": "vol-1"}, {"SnapshotId": "snap-1"}),
    }
    if what == "tag change":
        resource = f"arn:aws:ec2:{region}:{account_id}:network-interface/{interface}"
        return tag_change(resource, {"owner": "data"}, ["owner"], version=number, **place)
    if what.startswith("instance"):
        return instance_state(instance, what.split()[1], **place)
    service, operation, parameters, answer = calls[what]
    return api_call(service, operation, parameters, answer, number=number, **place)


def once(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Handles one batch into a new folder. Gives what it came to."""
    stubs: dict[tuple[str, str], Stub] = {}

    def accounts(account_id: str, region: str) -> Any:
        return stubs.setdefault((account_id, region), Stub(account_id, region))

    messages = [Message(str(number), json.dumps(one)) for number, one in enumerate(batch)]
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(folder)
        began = time.perf_counter()
        outcome = handle(messages, store, accounts, lambda: NOW, refresh_ranges=lambda: None)
        seconds = time.perf_counter() - began
        objects = list(store.list(""))
    return {
        "seconds": seconds,
        "observations": outcome.observations,
        "ignored": outcome.ignored.total(),
        "rejected": outcome.rejected.total(),
        "failed": len(outcome.failed),
        "objects_written": len(objects),
        "bytes_written": sum(info.size for info in objects),
        "api_calls": outcome.calls.total(),
        "api_calls_by_name": dict(sorted(outcome.calls.items())),
    }


def cold_start() -> dict[str, Any]:
    """Seconds to import the handler out of the Lambda's zip in a new interpreter, how many modules that brings, and the
    zip's size.

    Lambda can't keep bytecode beside the code, and the zip brings none: a cold start compiles. What it takes once
    compiled is told too.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = lambda_zip(ROOT, Path(folder))
        code = Path(folder, "code")
        with zipfile.ZipFile(made) as archive:
            archive.extractall(code)
        compiling = [_import_seconds(code) for _ in range(5)]
        compileall.compile_dir(code, quiet=2)
        compiled = [_import_seconds(code) for _ in range(5)]
        return {
            "zip_bytes": made.stat().st_size,
            "import_seconds": round(statistics.median(seconds for seconds, _ in compiling), 3),
            "import_seconds_once_compiled": round(statistics.median(seconds for seconds, _ in compiled), 3),
            "modules": compiling[0][1],
        }


def _import_seconds(folder: Path) -> tuple[float, int]:
    """Seconds, and modules loaded, of importing the handler that lies in the folder."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(folder)!r}); began = time.perf_counter(); "
        "import flowlake.inventory.handler as handler; took = time.perf_counter() - began; "
        f"assert handler.__file__.startswith({str(folder)!r}); print(took, len(sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    return float(told[0]), int(told[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--regions", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    batch = events(options.events, options.accounts, options.regions)
    runs = [once(batch) for _ in range(options.repeat)]
    figures = {
        "events": options.events,
        "accounts": options.accounts,
        "regions": options.regions,
        **runs[0],
        "seconds": statistics.median(run["seconds"] for run in runs),
        "cold_start": cold_start(),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{options.events} events of {options.accounts} accounts in {options.regions} regions each, in one batch")
    for name, value in figures.items():
        print(f"  {name:20} {value:.3f}" if isinstance(value, float) else f"  {name:20} {value}")


if __name__ == "__main__":
    main()
