"""Accounts, VPCs and the ways between them.

Every account has in every region a main VPC with a range of its own, attached to the transit gateway, and a legacy VPC
that is 10.0.0.0/16 in all of them and peered with the main one only. Account 0 owns the transit gateway and a subnet
shared with account 1; its main VPCs of two regions are peered. The data centre is reached by the transit gateway's VPN
and, from account 0's legacy VPC, by a virtual private gateway.
"""

from __future__ import annotations

import ipaddress

from flowlake.sandbox.estate import AMAZON_REQUESTERS, REGIONS, ZONES, Estate
from flowlake.sandbox.model import AWS, DYNAMODB, INTERNET, ON_PREMISES, S3, Account, Interface, Subnet, Vpc

ACCOUNT_NAMES = ("network-hub", "shop-prod", "data-prod", "payments-prod", "media-prod", "platform", "research")
TEAMS = ("Platform", "Storefront", "DataProcessor", "Payments", "Media", "Identity", "Research")

ON_PREMISES_CIDR = "192.168.0.0/16"
ON_PREMISES_NAME = "frankfurt-datacentre"

ENDPOINT_SERVICES = ("sqs", "logs", "secretsmanager")


def build(estate: Estate) -> None:
    """Adds accounts, VPCs, subnets, gateways, endpoints and peerings."""
    for index in range(estate.sizes.accounts):
        name = ACCOUNT_NAMES[index] if index < len(ACCOUNT_NAMES) else f"team-{index:02d}-prod"
        account = Account(index, estate.ids.account(), name, TEAMS[index % len(TEAMS)])
        estate.accounts.append(account)
        estate.add_thing("account", account.id, account, "")
    regions = [region for region, _ in REGIONS[: estate.sizes.regions]]
    for region in regions:
        for account in estate.accounts:
            _main_vpc(estate, account, region)
        for account in estate.accounts:
            _legacy_vpc(estate, account, region)
        _transit_gateway(estate, region)
    if len(regions) == 2:
        a, b = main_vpc(estate, estate.accounts[0], regions[0]), main_vpc(estate, estate.accounts[0], regions[1])
        _peer(estate, a, b)
    _route_tables(estate)
    _outside(estate)


def main_vpc(estate: Estate, account: Account, region: str) -> Vpc:
    return next(v for v in estate.vpcs if v.account is account and v.region == region and v.name.endswith("-main"))


def legacy_vpc(estate: Estate, account: Account, region: str) -> Vpc:
    return next(v for v in estate.vpcs if v.account is account and v.region == region and v.name.endswith("-legacy"))


def subnets(vpc: Vpc, tier: str) -> list[Subnet]:
    return [subnet for subnet in vpc.subnets if subnet.tier == tier]


def _vpc(estate: Estate, account: Account, region: str, name: str, cidr: str, cidr6: str | None) -> Vpc:
    vpc = Vpc(len(estate.vpcs), estate.ids.new("vpc"), account, region, name, cidr, cidr6, created=0)
    estate.vpcs.append(vpc)
    return vpc


def _main_vpc(estate: Estate, account: Account, region: str) -> None:
    number = 1 + len([v for v in estate.vpcs if v.name.endswith("-main")])
    block6 = f"2600:1f{18 if region == 'us-east-1' else 16}:{0x4000 + number:x}"
    vpc = _vpc(estate, account, region, f"{account.name}-main", f"10.{number}.0.0/16", f"{block6}:aa00::/56")
    for zone in range(estate.sizes.zones):
        estate.add_subnet(vpc, zone, "public", f"10.{number}.{4 * zone}.0/22", f"{block6}:aa{0x10 + zone:02x}::/64")
    for zone in range(estate.sizes.zones):
        estate.add_subnet(
            vpc, zone, "private", f"10.{number}.{16 + 16 * zone}.0/20", f"{block6}:aa{0x20 + zone:02x}::/64"
        )
    for zone in range(estate.sizes.zones):
        estate.add_subnet(vpc, zone, "data", f"10.{number}.{64 + 4 * zone}.0/22")
    for zone in range(estate.sizes.zones):
        estate.add_subnet(vpc, zone, "pods", f"10.{number}.{96 + 32 * zone}.0/19")
    if account.index == 0 and estate.sizes.accounts > 1:
        shared = estate.add_subnet(vpc, 0, "shared", f"10.{number}.200.0/22")
        shared.shared_with = estate.accounts[1]
        estate.add_thing(
            "shared_subnet", shared.id, account, region, principals=[estate.accounts[1].id],
            share_arn=f"arn:aws:ram:{region}:{account.id}:resource-share/{estate.ids.uuid('share')}",
        )  # fmt: skip
    vpc.internet_gateway = estate.ids.new("igw")
    # One account in three has regional NAT gateways, the others one in each zone; the last has no S3 endpoint.
    vpc.nat = "regional" if account.index % 3 == 2 else "zonal"
    if account.index != 1:
        vpc.s3_endpoint = estate.ids.new("vpce")
    vpc.dynamodb_endpoint = estate.ids.new("vpce")
    _nat_gateways(estate, vpc)
    _interface_endpoints(estate, vpc)


def _legacy_vpc(estate: Estate, account: Account, region: str) -> None:
    vpc = _vpc(estate, account, region, f"{account.name}-legacy", "10.0.0.0/16", None)
    for zone in range(min(2, estate.sizes.zones)):
        estate.add_subnet(vpc, zone, "private", f"10.0.{16 * zone}.0/20")
    if account.index == 0:
        vpc.vpn_gateway = estate.ids.new("vgw")
    _peer(estate, vpc, main_vpc(estate, account, region))


def _peer(estate: Estate, requester: Vpc, accepter: Vpc) -> None:
    peering = estate.ids.new("pcx")
    requester.peerings[accepter.index] = accepter.peerings[requester.index] = peering
    # Both sides list it.
    for side in {(v.account.id, v.region): v for v in (requester, accepter)}.values():
        estate.add_thing("peering", peering, side.account, side.region, requester=requester, accepter=accepter)


def _nat_gateways(estate: Estate, vpc: Vpc) -> None:
    if vpc.nat == "regional":
        gateway = estate.ids.new("nat")
        interface = estate.add_interface(
            subnets(vpc, "public")[0], "nat_gateway", gateway, id="-", interface_type="-", regional_nat=gateway,
            arns=[_arn(vpc, f"natgateway/{gateway}")], public=True,
        )  # fmt: skip
        estate.add_thing(
            "nat_gateway", gateway, vpc.account, vpc.region, vpc=vpc, interface=interface, availability_mode="regional",
            tags={"Name": f"{vpc.name}-nat"},
        )  # fmt: skip
        for subnet in vpc.subnets:
            if not subnet.public:
                estate.nat_of_subnet[subnet.index] = interface.index
        return
    for public in subnets(vpc, "public"):
        gateway = estate.ids.new("nat")
        interface = estate.add_interface(
            public, "nat_gateway", gateway, interface_type="nat_gateway", public=True,
            description=f"Interface for NAT Gateway {gateway}", requester_id=vpc.account.id, requester_managed=True,
            attachment_id=estate.ids.new("ela-attach"), attachment_owner="amazon-aws", nitro=False,
            arns=[_arn(vpc, f"natgateway/{gateway}")],
        )  # fmt: skip
        estate.add_thing(
            "nat_gateway", gateway, vpc.account, vpc.region, vpc=vpc, interface=interface, availability_mode="zonal",
            tags={"Name": f"{vpc.name}-nat-{public.zone_name[-1]}"},
        )  # fmt: skip
        for subnet in vpc.subnets:
            if subnet.zone == public.zone and not subnet.public:
                estate.nat_of_subnet[subnet.index] = interface.index


def _interface_endpoints(estate: Estate, vpc: Vpc) -> None:
    group = estate.add_security_group(vpc, "vpc-endpoints", ports=[443])
    for service in ENDPOINT_SERVICES[: 3 if estate.sizes.interfaces > 200 else 1]:
        endpoint = estate.ids.new("vpce")
        interfaces: list[Interface] = []
        for subnet in subnets(vpc, "private")[:2]:
            interface = estate.add_interface(
                subnet, "vpc_endpoint", f"com.amazonaws.{vpc.region}.{service}", interface_type="vpc_endpoint",
                description=f"VPC Endpoint Interface {endpoint}", requester_id=vpc.account.id, requester_managed=True,
                attachment_id=estate.ids.new("ela-attach"), attachment_owner="amazon-aws", groups=(group,),
                arns=[_arn(vpc, f"vpc-endpoint/{endpoint}")],
            )  # fmt: skip
            interfaces.append(interface)
            estate.join(f"{vpc.index}/endpoint/{service}", interface)
        estate.add_thing(
            "vpc_endpoint", endpoint, vpc.account, vpc.region, vpc=vpc, endpoint_type="Interface",
            interfaces=interfaces,
            service_name=f"com.amazonaws.{vpc.region}.{service}", groups=[group],
        )  # fmt: skip
    for gateway, service in ((vpc.s3_endpoint, "s3"), (vpc.dynamodb_endpoint, "dynamodb")):
        if gateway:
            estate.add_thing(
                "vpc_endpoint", gateway, vpc.account, vpc.region, vpc=vpc, endpoint_type="Gateway", interfaces=[],
                service_name=f"com.amazonaws.{vpc.region}.{service}", groups=[],
            )  # fmt: skip


def _transit_gateway(estate: Estate, region: str) -> None:
    owner = estate.accounts[0]
    gateway, table = estate.ids.new("tgw"), estate.ids.new("tgw-rtb")
    attachments = []
    for vpc in [v for v in estate.vpcs if v.region == region and v.name.endswith("-main")]:
        vpc.attachment = estate.ids.new("tgw-attach")
        attachments.append(vpc)
        for subnet in subnets(vpc, "private"):
            interface = estate.add_interface(
                subnet, "transit_gateway", gateway, interface_type="transit_gateway",
                description=f"Network Interface for Transit Gateway Attachment {vpc.attachment}",
                requester_id="522605744525" if region == "us-east-1" else "744516196303", requester_managed=False,
                attachment_id=estate.ids.new("ela-attach"), attachment_owner="amazon-aws",
                arns=[_arn(vpc, f"transit-gateway-attachment/{vpc.attachment}")],
            )  # fmt: skip
            estate.hops[(vpc.index, subnet.zone)] = interface.index
        estate.add_thing(
            "transit_gateway_attachment", vpc.attachment, vpc.account, region, vpc=vpc, gateway=gateway,
            resource_type="vpc", resource_id=vpc.id, table=table, subnets=subnets(vpc, "private"), owner=owner,
            tags={"Name": f"{vpc.name}-attachment"},
        )  # fmt: skip
    vpn = estate.ids.new("tgw-attach")
    estate.add_thing(
        "transit_gateway_attachment", vpn, owner, region, vpc=None, gateway=gateway, resource_type="vpn",
        resource_id=estate.ids.new("vpn"), table=table, subnets=[], owner=owner, tags={"Name": "frankfurt"},
    )  # fmt: skip
    routes = [f"{vpc.cidr} {vpc.attachment}" for vpc in attachments] + [f"{ON_PREMISES_CIDR} {vpn}"]
    estate.add_thing(
        "transit_gateway_route_table", table, owner, region, gateway=gateway, routes=routes,
        propagations=[vpc.attachment for vpc in attachments],
    )  # fmt: skip
    for vpc in attachments:
        estate.add_thing("transit_gateway", gateway, vpc.account, region, attached=vpc)


def _route_tables(estate: Estate) -> None:
    tgw = {(t.region, t.attributes["attached"].index): t.id for t in estate.things if t.kind == "transit_gateway"}
    for vpc in estate.vpcs:
        for subnet in vpc.subnets:
            routes = [f"{vpc.cidr} local"]
            gateway = tgw.get((vpc.region, vpc.index))
            if gateway:
                routes += [f"10.0.0.0/8 {gateway}", f"{ON_PREMISES_CIDR} {gateway}"]
            routes += [f"{estate.vpcs[other].cidr} {peering}" for other, peering in sorted(vpc.peerings.items())]
            if vpc.vpn_gateway:
                routes.append(f"{ON_PREMISES_CIDR} {vpc.vpn_gateway}")
            if subnet.public:
                routes += [f"0.0.0.0/0 {vpc.internet_gateway}", f"::/0 {vpc.internet_gateway}"]
            elif subnet.index in estate.nat_of_subnet:
                routes.append(f"0.0.0.0/0 {estate.interfaces[estate.nat_of_subnet[subnet.index]].name}")
                if subnet.cidr6:
                    routes.append(f"::/0 {vpc.internet_gateway}")
            for endpoint, list_ in (
                (vpc.s3_endpoint, prefix_list(vpc.region, "s3")),
                (vpc.dynamodb_endpoint, prefix_list(vpc.region, "dynamodb")),
            ):
                if endpoint:
                    routes.append(f"{list_} {endpoint}")
            estate.add_thing(
                "route_table", subnet.route_table, vpc.account, vpc.region, vpc=vpc, subnet=subnet, routes=routes
            )
    for region in {vpc.region for vpc in estate.vpcs}:
        for account in estate.accounts:
            for service, cidr in (("s3", S3_RANGES[region]), ("dynamodb", DYNAMODB_RANGES[region])):
                estate.add_thing(
                    "prefix_list", prefix_list(region, service), account, region, cidrs=[cidr],
                    name=f"com.amazonaws.{region}.{service}",
                )  # fmt: skip


PREFIX_LISTS = {
    ("us-east-1", "s3"): "pl-63a5400a",
    ("us-east-1", "dynamodb"): "pl-02cd2c6b",
    ("eu-west-1", "s3"): "pl-6da54004",
    ("eu-west-1", "dynamodb"): "pl-6fa54006",
}


def prefix_list(region: str, service: str) -> str:
    return PREFIX_LISTS[region, service]


S3_RANGES = {"us-east-1": "52.216.0.0/15", "eu-west-1": "52.218.0.0/17"}
DYNAMODB_RANGES = {"us-east-1": "52.94.0.0/22", "eu-west-1": "52.94.24.0/23"}
OTHER_RANGES = {"us-east-1": "52.119.196.0/22", "eu-west-1": "52.94.216.0/21"}


def _outside(estate: Estate) -> None:
    """Who is there beside the interfaces: people on the internet, AWS services, the data centre."""
    chance = estate.random("outside")
    many = 20_000 if estate.sizes.interfaces > 500 else 400
    # Ranges of access providers, none of them AWS's.
    clients = {f"{chance.choice((62, 73, 77, 81, 82, 91))}.{chance.randrange(4, 250)}.{chance.randrange(256)}"
               f".{chance.randrange(1, 255)}" for _ in range(many)}  # fmt: skip
    estate.join_outside("internet/clients", INTERNET, sorted(clients))
    estate.join_outside("internet/sites", INTERNET, [f"185.199.{108 + n % 4}.{153 + n // 4}" for n in range(24)])
    estate.join_outside("internet/scanner", INTERNET, ["193.163.125.77"])
    estate.join_outside("internet/sites6", INTERNET, [f"2606:50c0:800{n % 4}::{0x150 + n:x}" for n in range(16)])
    for region, _ in REGIONS[: estate.sizes.regions]:
        for name, outside, ranges in (
            ("s3", S3, S3_RANGES),
            ("dynamodb", DYNAMODB, DYNAMODB_RANGES),
            ("aws", AWS, OTHER_RANGES),
        ):
            network = ipaddress.IPv4Network(ranges[region])
            hosts = {str(network[chance.randrange(5, min(network.num_addresses - 1, 2_000))]) for _ in range(60)}
            estate.join_outside(f"{region}/{name}", outside, sorted(hosts))
    estate.join_outside("on-premises", ON_PREMISES, [f"192.168.{10 + n % 8}.{20 + n}" for n in range(60)])
    estate.known_networks += [(ON_PREMISES_CIDR, ON_PREMISES_NAME), ("193.163.125.0/24", "survey-scanner")]


def _arn(vpc: Vpc, rest: str) -> str:
    return f"arn:aws:ec2:{vpc.region}:{vpc.account.id}:{rest}"


__all__ = ["AMAZON_REQUESTERS", "ZONES", "build", "legacy_vpc", "main_vpc", "prefix_list", "subnets"]
