"""The tables of rules hold together, and with AWS as botocore knows it: no misspelt call, parameter or kind."""

from __future__ import annotations

import re

import botocore.session
import pytest

from flowlake.inventory.call_rules import _NAMES_WHAT_IS_TAGGED, INSTANCE_STATES, RULES
from flowlake.inventory.fetch import LOOKUPS, PERMISSIONS
from flowlake.inventory.permissions import permissions
from flowlake.inventory.rows import ROWS
from flowlake.lake.observations import kinds
from tests.samples import REPOSITORY

SESSION = botocore.session.get_session()
SERVICES = {
    # CloudTrail's name of a service: botocore's
    "elasticloadbalancing": ("elbv2", "elb"),
    "elasticfilesystem": ("efs",),
    "es": ("opensearch", "es"),
}


def model(service):
    return SESSION.get_service_model(service)


def api_of(lookup):
    operations = model(lookup.service).operation_names
    wanted = lookup.operation.replace("_", "").lower()
    return next(name for name in operations if name.lower() == wanted)


@pytest.mark.parametrize("service", sorted({service for service, _ in RULES}))
def test_every_rule_is_for_a_call_that_exists(service):
    known = {name for botocores in SERVICES.get(service, (service,)) for name in model(botocores).operation_names}
    assert {name for rules_service, name in RULES if rules_service == service} <= known


# What of a service is named in these rules: calls that change it, by a word of their names, and which of those change
# nothing that observations keep (other gateways, other accounts' sides, permissions, settings).
READS = r"Describe|List|Get|Search|View|Validate|Download|Export|Test|Purchase"
KEPT = {
    "ec2": (
        r"Subnet|Vpc|Vpn|Route|NatGateway|InternetGateway|TransitGateway\w*Attachment|TransitGatewayConnect|PrefixList"
        r"|SecurityGroup|FlowLog|NetworkInterface|PrivateIp|Ipv6Address|Address$|(Run|Start|Stop|Terminate)Instances",
        r"ClassicLink|LocalGateway|ClientVpn|RouteServer(?!Propagation)|Ipam|Permission|CidrReservation|SecondarySubnet"
        r"|BlockPublicAccess|EncryptionControl|VpcEndpoint(Service|Connection|Payer)|Multicast|EgressOnly|Announcement"
        r"|VpnTunnel|VpnConnectionOptions|VpnConnectionDevice|VpnConcentrator|NatConfiguration"
        r"|ConnectPeer|MoveAddress|VpnConnectionCertificate",
    ),
    "elasticloadbalancing": (
        r"LoadBalancer|Listener|Rule|Target|Subnets|SecurityGroups|SetIpAddressType",
        r"Certificate|ListenerAttributes|Polic|Stickiness|TrustStore|AddTags|RemoveTags",
    ),
    "rds": (
        r"DBInstance|DBCluster|DBProxy|DBSubnetGroup|ReadReplica|Restore|GlobalCluster|BlueGreen",
        r"Snapshot(?!$)|Snapshot$(?<!FromSnapshot)(?<!FromDBSnapshot)|ParameterGroup|Role|Backup|Reserved|ClusterEndpoint"
        r"|ProxyEndpoint|TargetGroup|CreateDBSubnetGroup|DeleteDBSubnetGroup|Create(Global|Blue)|DeleteGlobal|ModifyGlobal"
        r"|Capacity|Backtrack",
    ),
    "elasticache": (
        r"CacheCluster|ReplicationGroup|ReplicaCount|ServerlessCache$|CacheSubnetGroup",
        r"Reboot|CreateCacheSubnet|DeleteCacheSubnet",
    ),
    "lambda": (r"Function(Configuration|Code)?$", r"CreateCodeSigningConfig"),
    "elasticfilesystem": (r"MountTarget(SecurityGroups)?$|FileSystem$", r"UpdateFileSystem"),
    "directconnect": (r"GatewayAssociation", r"(Create|Delete)DirectConnectGatewayAssociationProposal"),
    "es": (r"Domain$|DomainConfig$", r"Upgrade"),
    "redshift": (r"Cluster$|FromClusterSnapshot|FailoverPrimary", r"Reboot|RestoreTable"),
    "kafka": (r"Cluster(V2)?$|UpdateBroker(Count|Type)|UpdateConnectivity", r"^$"),
    "ecs": (r"(?<!Gateway)Service$", r"^$"),
    "eks": (r"Cluster$|ClusterConfig", r"egisterCluster"),
}


@pytest.mark.parametrize("service", sorted(KEPT))
def test_no_call_that_changes_what_is_kept_lacks_its_rule(service):
    """By the names in AWS's own models, so that a newer model shows what is new in it."""
    about, unkept = KEPT[service]
    names = {name for botocores in SERVICES.get(service, (service,)) for name in model(botocores).operation_names}
    changing = {name for name in names if re.search(about, name) and not re.match(READS, name)}
    assert {name for name in changing if not re.search(unkept, name)} - {n for s, n in RULES if s == service} == set()


TAG_CALLS = sorted(
    (botocores, name)
    for service, name in RULES
    if service != "ec2" and "Tag" in name
    for botocores in SERVICES.get(service, (service,))
    if name in model(botocores).operation_names
)


@pytest.mark.parametrize(("service", "name"), TAG_CALLS)
def test_of_a_tag_call_all_but_its_tags_names_what_is_tagged(service, name):
    asked = {key[:1].lower() + key[1:] for key in model(service).operation_model(name).input_shape.members}
    assert len(asked) == 2
    assert len(asked & _NAMES_WHAT_IS_TAGGED) == 1
    assert asked - _NAMES_WHAT_IS_TAGGED <= {"tags", "tagList", "tagKeys"}


def test_cloudtrails_names_of_services_are_botocores_endpoints():
    for service, botocores in SERVICES.items():
        assert {model(name).endpoint_prefix for name in botocores} == {service}


def test_what_rules_fetch_can_be_looked_up_and_what_they_end_is_a_kind():
    askable = {kind for kind, _ in LOOKUPS}
    for rule in RULES.values():
        assert {kind for kind, _ in rule.fetch} <= askable
        assert rule.gone is None or rule.gone[0] in kinds()
    assert {want for wants in INSTANCE_STATES.values() for want in wants} <= LOOKUPS.keys()


def test_every_rule_does_something():
    assert [name for name, rule in RULES.items() if not (rule.says or rule.gone or rule.fetch or rule.fetch_else)] == []


def test_lookups_have_rows_and_ask_with_parameters_that_exist():
    for (kind, _), lookup in LOOKUPS.items():
        assert kind in ROWS
        asked = model(lookup.service).operation_model(api_of(lookup)).input_shape.members
        argument = {"filter": lookup.filters, "services": "services"}.get(lookup.takes, lookup.argument)
        assert {argument, *lookup.always} <= asked.keys(), lookup.operation


def test_lookups_find_their_items_where_the_answer_has_them():
    for lookup in LOOKUPS.values():
        shape = model(lookup.service).operation_model(api_of(lookup)).output_shape
        for step in lookup.result.split(".") if lookup.result else ():
            shape = shape.members[step.removesuffix("[]")]
            shape = shape.member if step.endswith("[]") else shape
        for path in lookup.answers:
            inner = shape
            for step in path.split("."):
                inner = inner.members[step]
            assert inner.type_name == "string"


def test_what_events_may_call_is_in_the_policies():
    allowed = {permission.api for permission in permissions()} | PERMISSIONS.keys()
    assert {f"{lookup.service}:{api_of(lookup)}" for lookup in LOOKUPS.values()} <= allowed


def test_the_page_names_every_call_and_no_other():
    page = (
        (REPOSITORY / "docs/events.md").read_text(encoding="utf-8").split("## The rules")[1].split("## EventBridge")[0]
    )
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`" in line]
    named = {name for line in rows for name in re.findall(r"`([A-Z]\w+)`", line)} - {"CreateFunction20150331"}
    assert named == {name for _, name in RULES}
