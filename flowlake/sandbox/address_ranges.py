"""The address ranges of the sandbox's AWS services, as the published file has them: the same shape, few of its rows.

Every address of an AWS service or of EC2 in the estate lies in one of them.
"""

from __future__ import annotations

import json

from flowlake.sandbox.organisation import DYNAMODB_RANGES, OTHER_RANGES, S3_RANGES

EC2_RANGES = {"us-east-1": "3.208.0.0/12"}


def document() -> bytes:
    """ip-ranges.json: each specific service's range is listed under AMAZON too."""
    rows = []
    for service, by_region in (
        ("S3", S3_RANGES), ("DYNAMODB", DYNAMODB_RANGES), ("EC2", EC2_RANGES), ("AMAZON", OTHER_RANGES)
    ):  # fmt: skip
        for region, prefix in by_region.items():
            for name in dict.fromkeys(("AMAZON", service)):
                rows.append({"ip_prefix": prefix, "region": region, "service": name, "network_border_group": region})
    version = {"syncToken": "1749028447", "createDate": "2025-06-04-09-14-07"}
    return json.dumps({**version, "prefixes": rows, "ipv6_prefixes": []}, indent=1).encode()
