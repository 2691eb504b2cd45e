"""A sweep of many interfaces: time, memory, calls, objects.

    python -m benchmarks.sweep [--interfaces 50000]

The pages are real DescribeNetworkInterfaces answers (XML of EC2's shape, 1,000 interfaces each), given to a real boto3
client in the place of the network: parsing them is measured, waiting for AWS is not. Objects go to a folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from flowlake.inventory.aws import Aws
from flowlake.inventory.sweep import new_task, sweep
from flowlake.lake.store import open_store

PAGE = 1000
ACCOUNT, REGION = "123456789012", "eu-west-1"

# A mix of what accounts hold, in tenths: description, type, requester, instance owner, whether on an instance.
MIX = (
    *[("", "interface", "", ACCOUNT, True)] * 4,
    ("aws-K8S-i-{n:017x}", "interface", "AROAEXAMPLE:i-0", ACCOUNT, True),
    ("arn:aws:ecs:eu-west-1:123456789012:attachment/{n:08x}", "interface", "628676013162", "843547988961", False),
    ("ELB app/web-{n}/{n:016x}", "interface", "amazon-elb", "amazon-elb", False),
    ("AWS Lambda VPC ENI-fn-{n}-8c7ac78b-e11d-4dea-8a47-{n:012x}", "lambda", "AROAEXAMPLE:fn", "amazon-aws", False),
    ("RDSNetworkInterface", "interface", "amazon-rds", "amazon-rds", False),
    ("VPC Endpoint Interface vpce-{n:017x}", "vpc_endpoint", "727180483921", "amazon-aws", False),
)


def interface_xml(n: int) -> str:
    """Interface n as EC2 writes it."""
    description, type_, requester, owner, attached = MIX[n % len(MIX)]
    address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    instance = f"<instanceId>i-{n:017x}</instanceId>" if attached else ""
    return f"""<item><networkInterfaceId>eni-{n:017x}</networkInterfaceId><subnetId>subnet-{n % 200:017x}</subnetId>
<vpcId>vpc-{n % 10:017x}</vpcId><availabilityZone>{REGION}a</availabilityZone>
<availabilityZoneId>euw1-az1</availabilityZoneId>
<description>{description.format(n=n)}</description><ownerId>{ACCOUNT}</ownerId><requesterId>{requester}</requesterId>
<requesterManaged>{"false" if attached else "true"}</requesterManaged><status>in-use</status>
<macAddress>02:00:00:00:00:00</macAddress><privateIpAddress>{address}</privateIpAddress>
<sourceDestCheck>true</sourceDestCheck>
<groupSet><item><groupId>sg-{n % 300:017x}</groupId><groupName>group</groupName></item></groupSet>
<attachment><attachmentId>eni-attach-{n:017x}</attachmentId>{instance}<instanceOwnerId>{owner}</instanceOwnerId>
<deviceIndex>0</deviceIndex><status>attached</status><attachTime>2026-01-01T00:00:00.000Z</attachTime>
<deleteOnTermination>true</deleteOnTermination></attachment>
<tagSet><item><key>Name</key><value>interface-{n}</value></item><item><key>team</key><value>team-{n % 40}</value></item>
</tagSet><privateIpAddressesSet><item><privateIpAddress>{address}</privateIpAddress><primary>true</primary></item>
</privateIpAddressesSet><interfaceType>{type_}</interfaceType></item>"""


def session_of(interfaces: int) -> Any:
    """A boto3 session whose EC2 answers so many interfaces, page by page."""
    import boto3
    from botocore.awsrequest import AWSResponse

    session = boto3.session.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)

    class Raw:
        def __init__(self, body: bytes):
            self.body = body

        def stream(self, **_: Any) -> Any:
            yield self.body

    def answer(request: Any, **_: Any) -> Any:
        asked = parse_qs(request.body if isinstance(request.body, str) else request.body.decode())
        first = int(asked.get("NextToken", ["0"])[0])
        last = min(first + PAGE, interfaces)
        items = "".join(interface_xml(n) for n in range(first, last))
        more = f"<nextToken>{last}</nextToken>" if last < interfaces else ""
        body = (
            '<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<networkInterfaceSet>{items}</networkInterfaceSet>{more}</DescribeNetworkInterfacesResponse>"
        )
        return AWSResponse(request.url, 200, {}, Raw(body.encode()))

    session.events.register("before-send.ec2.DescribeNetworkInterfaces", answer)
    return session


def measure(interfaces: int) -> dict[str, Any]:
    """One sweep of so many interfaces."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        aws = Aws(session_of(interfaces), ACCOUNT, REGION)
        aws.client("ec2")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.perf_counter(), time.process_time()
        task = new_task(ACCOUNT, REGION, datetime.now(UTC), ("interface",))
        result = sweep(task, aws, store.put, lambda: datetime.now(UTC))
        assert not result.failures, result.failures
        return {
            "interfaces": interfaces,
            "seconds": round(time.perf_counter() - started, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "memory_before_mb": before // 1024,
            "memory_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "calls": sum(result.calls.values()),
            "rows": result.rows,
            "objects": result.objects,
            "object_bytes": sum(file.stat().st_size for file in Path(folder).rglob("*.json.gz")),
            "interface_types": dict(sorted(result.interface_types.items())),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interfaces", type=int, default=50_000)
    options = parser.parse_args()
    print(json.dumps(measure(options.interfaces), indent=2))


if __name__ == "__main__":
    main()
