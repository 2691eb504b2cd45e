"""What is built on the network: load balancers, databases, functions, containers, … AWS items in, rows out. Pure.

Some entities take more than one call; describe.py adds what the further calls said under these names, and a row
without them is partial:

    load balancer          Listeners (DescribeListeners)
    target group           TargetHealthDescriptions (DescribeTargetHealth)
    DB cluster             Subnets, VpcId (DescribeDBSubnetGroups: a cluster names its subnet group only)
    DB proxy               Targets (DescribeDBProxyTargets)
    cache cluster          SubnetGroup (DescribeCacheSubnetGroups)
    Redshift cluster       SubnetGroup (DescribeClusterSubnetGroups)
    file system            MountTargets (DescribeMountTargets)
    MSK cluster            Nodes (ListNodes)
    any with endpoints     EndpointAddresses: what its endpoint's host name resolved to (never makes a row partial)

Their describe calls mostly don't tell tags: tags are null (not told) then, and come as rows of kind tags.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from flowlake.inventory.seen import Item, Seen, ids, moment, said, unique
from flowlake.lake.arns import Arn, entity_id_of, unqualified
from flowlake.lake.observations import ABSENT, PARTIAL, PRESENT, Row

_NFS = 2049
_GENEVE = 6081
_KAFKA_PORTS = (9092, 9094, 9096, 9098)
"""Plaintext, TLS, SASL/SCRAM, IAM: what MSK brokers listen on inside of their VPC."""


def load_balancer_rows(item: Item, seen: Seen) -> list[Row]:
    """An application, network or gateway load balancer. ports are its listeners' ports."""
    zones = item.get("AvailabilityZones") or []
    fixed = [entry for zone in zones for entry in zone.get("LoadBalancerAddresses") or []]
    listeners = item.get("Listeners")
    arn = item["LoadBalancerArn"]
    ports = None
    if listeners is not None:
        default = _GENEVE if item.get("Type") == "gateway" else None
        ports = sorted({port for entry in listeners if (port := entry.get("Port") or default)})
    return [
        seen.row(
            "load_balancer",
            arn,
            PARTIAL if listeners is None else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=item.get("LoadBalancerName"),
            vpc_id=item.get("VpcId"),
            subnet_ids=ids(zones, "SubnetId"),
            addresses=unique(e.get(f) for e in fixed for f in ("PrivateIPv4Address", "IPv6Address")),
            public_addresses=ids(fixed, "IpAddress"),
            created_at=moment(item.get("CreatedTime")),
            security_group_ids=item.get("SecurityGroups") or [],
            ports=ports,
            dns_names=unique([item.get("DNSName")]),
            detail=said(lb_type=item.get("Type"), scheme=item.get("Scheme")),
        )
    ]


def classic_load_balancer_rows(item: Item, seen: Seen) -> list[Row]:
    """A Classic Load Balancer. Its ARN is made from its name; targets (instances) are in detail."""
    arn = seen.arn("elasticloadbalancing", seen.account_id, f"loadbalancer/{item['LoadBalancerName']}")
    listeners = [entry.get("Listener") or {} for entry in item.get("ListenerDescriptions") or []]
    return [
        seen.row(
            "load_balancer",
            arn,
            arn=arn,
            name=item["LoadBalancerName"],
            vpc_id=item.get("VPCId"),
            subnet_ids=item.get("Subnets") or [],
            created_at=moment(item.get("CreatedTime")),
            security_group_ids=item.get("SecurityGroups") or [],
            ports=sorted({e["LoadBalancerPort"] for e in listeners if e.get("LoadBalancerPort")}),
            dns_names=unique([item.get("DNSName")]),
            detail=said(
                lb_type="classic",
                scheme=item.get("Scheme"),
                targets=ids(item.get("Instances") or [], "InstanceId"),
            ),
        )
    ]


def target_group_rows(item: Item, seen: Seen) -> list[Row]:
    """A target group: member_of its load balancers; detail.targets are 'id:port' (id, address or ARN)."""
    health = item.get("TargetHealthDescriptions")
    arn = item["TargetGroupArn"]
    return [
        seen.row(
            "target_group",
            arn,
            PARTIAL if health is None else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=item.get("TargetGroupName"),
            vpc_id=item.get("VpcId"),
            member_of=item.get("LoadBalancerArns") or [],
            detail=said(
                target_type=item.get("TargetType"),
                port=item.get("Port"),
                protocol=item.get("Protocol"),
                targets=None if health is None else unique(_target(entry.get("Target") or {}) for entry in health),
            ),
        )
    ]


def _target(target: Mapping[str, Any]) -> str | None:
    if not target.get("Id"):
        return None
    return f"{target['Id']}:{target['Port']}" if target.get("Port") else str(target["Id"])


def db_instance_rows(item: Item, seen: Seen) -> list[Row]:
    """A DB instance of RDS, Aurora, Neptune, DocumentDB (service_name is the engine). Its interfaces don't name it."""
    endpoint = item.get("Endpoint") or {}
    group = item.get("DBSubnetGroup") or {}
    arn = item["DBInstanceArn"]
    return [
        seen.row(
            "db_instance",
            arn,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["DBInstanceIdentifier"],
            vpc_id=group.get("VpcId"),
            subnet_ids=ids(group.get("Subnets") or [], "SubnetIdentifier"),
            availability_zone=item.get("AvailabilityZone"),
            addresses=_private(item.get("EndpointAddresses")),
            public_addresses=_public(item.get("EndpointAddresses")),
            created_at=moment(item.get("InstanceCreateTime")),
            security_group_ids=_active_groups(item.get("VpcSecurityGroups")),
            service_name=item.get("Engine"),
            ports=unique_ports([endpoint.get("Port"), item.get("DbInstancePort")]),
            dns_names=unique([endpoint.get("Address")]),
            member_of=unique([item.get("DBClusterIdentifier")]),
            tags=seen.tags(item.get("TagList")),
            detail=said(
                cluster=item.get("DBClusterIdentifier"),
                endpoint=endpoint.get("Address"),
                publicly_accessible=item.get("PubliclyAccessible"),
                multi_az=item.get("MultiAZ"),
                status=item.get("DBInstanceStatus"),
            ),
        )
    ]


def db_cluster_rows(item: Item, seen: Seen) -> list[Row]:
    """A DB cluster; detail.members are identifiers of its instances. Its subnets are added: it names their group."""
    arn = item["DBClusterArn"]
    return [
        seen.row(
            "db_cluster",
            arn,
            PRESENT if "Subnets" in item else PARTIAL,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["DBClusterIdentifier"],
            vpc_id=item.get("VpcId"),
            subnet_ids=ids(item.get("Subnets"), "SubnetIdentifier"),
            created_at=moment(item.get("ClusterCreateTime")),
            security_group_ids=_active_groups(item.get("VpcSecurityGroups")),
            service_name=item.get("Engine"),
            ports=unique_ports([item.get("Port")]),
            dns_names=unique([item.get("Endpoint"), item.get("ReaderEndpoint"), *(item.get("CustomEndpoints") or [])]),
            tags=seen.tags(item.get("TagList")),
            detail=said(
                members=ids(item.get("DBClusterMembers") or [], "DBInstanceIdentifier"),
                endpoint=item.get("Endpoint"),
                reader_endpoint=item.get("ReaderEndpoint"),
                status=item.get("Status"),
            ),
        )
    ]


_PROXY_PORTS = {"MYSQL": 3306, "POSTGRESQL": 5432, "SQLSERVER": 1433}


def db_proxy_rows(item: Item, seen: Seen) -> list[Row]:
    """An RDS proxy. It listens on its engine family's own port, whatever its databases' ports are."""
    targets = item.get("Targets")
    arn = item["DBProxyArn"]
    return [
        seen.row(
            "db_proxy",
            arn,
            PARTIAL if targets is None else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["DBProxyName"],
            vpc_id=item.get("VpcId"),
            subnet_ids=item.get("VpcSubnetIds") or [],
            addresses=_private(item.get("EndpointAddresses")),
            created_at=moment(item.get("CreatedDate")),
            security_group_ids=item.get("VpcSecurityGroupIds") or [],
            service_name=item.get("EngineFamily"),
            ports=unique_ports([_PROXY_PORTS.get(str(item.get("EngineFamily")))]),
            dns_names=unique([item.get("Endpoint")]),
            detail=said(
                targets=None
                if targets is None
                else unique(t.get("RdsResourceId") or t.get("TargetArn") for t in targets),
                endpoint=item.get("Endpoint"),
                status=item.get("Status"),
            ),
        )
    ]


def cache_rows(item: Item, seen: Seen) -> list[Row]:
    """A cache cluster (one Redis or Valkey node, or a Memcached cluster); member_of its replication group."""
    nodes = item.get("CacheNodes") or []
    endpoints = [node.get("Endpoint") or {} for node in nodes]
    endpoints.append(item.get("ConfigurationEndpoint") or {})
    name = item["CacheClusterId"]
    arn = item.get("ARN") or seen.arn("elasticache", seen.account_id, f"cluster:{name}")
    group = item.get("SubnetGroup")
    return [
        seen.row(
            "cache",
            arn,
            PARTIAL if group is None or not nodes else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=name,
            vpc_id=(group or {}).get("VpcId"),
            subnet_ids=ids(group.get("Subnets") or [], "SubnetIdentifier") if group else None,
            availability_zone=item.get("PreferredAvailabilityZone")
            if item.get("PreferredAvailabilityZone") != "Multiple"
            else None,
            addresses=_private(item.get("EndpointAddresses")),
            created_at=moment(item.get("CacheClusterCreateTime")),
            security_group_ids=ids(item.get("SecurityGroups") or [], "SecurityGroupId"),
            service_name=item.get("Engine"),
            ports=unique_ports([endpoint.get("Port") for endpoint in endpoints]) or None,
            dns_names=unique(endpoint.get("Address") for endpoint in endpoints),
            member_of=unique([item.get("ReplicationGroupId")]),
            detail=said(
                cluster=item.get("ReplicationGroupId") or name,
                endpoints=unique(endpoint.get("Address") for endpoint in endpoints) or None,
                status=item.get("CacheClusterStatus"),
            ),
        )
    ]


def serverless_cache_rows(item: Item, seen: Seen) -> list[Row]:
    """A serverless cache: reached over endpoint interfaces in its subnets."""
    endpoints = [item.get("Endpoint") or {}, item.get("ReaderEndpoint") or {}]
    arn = item["ARN"]
    return [
        seen.row(
            "cache",
            arn,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["ServerlessCacheName"],
            subnet_ids=item.get("SubnetIds") or [],
            created_at=moment(item.get("CreateTime")),
            security_group_ids=item.get("SecurityGroupIds") or [],
            service_name=item.get("Engine"),
            ports=unique_ports([endpoint.get("Port") for endpoint in endpoints]),
            dns_names=unique(endpoint.get("Address") for endpoint in endpoints),
            detail=said(
                cluster=item["ServerlessCacheName"], endpoints=ids(endpoints, "Address"), status=item.get("Status")
            ),
        )
    ]


def function_rows(item: Item, seen: Seen) -> list[Row]:
    """A Lambda function; without a VPC configuration its subnets and groups are empty and it has no interfaces."""
    arn = unqualified(item["FunctionArn"])
    network = item.get("VpcConfig") or {}
    return [
        seen.row(
            "function",
            arn,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["FunctionName"],
            vpc_id=network.get("VpcId") or None,
            subnet_ids=network.get("SubnetIds") or [],
            security_group_ids=network.get("SecurityGroupIds") or [],
            detail=said(runtime=item.get("Runtime"), package_type=item.get("PackageType")),
        )
    ]


def ecs_service_rows(item: Item, seen: Seen) -> list[Row]:
    """An ECS service; member_of its cluster and its target groups."""
    network = (item.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    groups = [entry.get("targetGroupArn") for entry in item.get("loadBalancers") or []]
    arn = item["serviceArn"]
    return [
        seen.row(
            "ecs_service",
            arn,
            ABSENT if item.get("status") == "INACTIVE" else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=item.get("serviceName") or arn.rsplit("/", 1)[1],
            subnet_ids=network.get("subnets") or [],
            created_at=moment(item.get("createdAt")),
            security_group_ids=network.get("securityGroups") or [],
            member_of=unique([item.get("clusterArn"), *groups]),
            tags=seen.tags(item.get("tags")),
            detail=said(
                cluster=_last(item.get("clusterArn")),
                task_definition=item.get("taskDefinition"),
                launch_type=item.get("launchType"),
            ),
        )
    ]


def ecs_task_rows(item: Item, seen: Seen) -> list[Row]:
    """An ECS task. name is its service, or its family where it has none. interface_ids are those of awsvpc tasks, also
    once they are detached, since what they carried until then was the task's; addresses are those it still holds."""
    attachments = [a for a in item.get("attachments") or [] if a.get("type") == "ElasticNetworkInterface"]
    details = [{entry.get("name"): entry.get("value") for entry in a.get("details") or []} for a in attachments]
    held = [d for a, d in zip(attachments, details, strict=True) if a.get("status") not in ("DETACHED", "DELETED")]
    arn = item["taskArn"]
    return [
        seen.row(
            "ecs_task",
            arn,
            ABSENT if item.get("lastStatus") in ("STOPPED", "DELETED") else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=_task_name(item),
            subnet_id=next((d["subnetId"] for d in details if d.get("subnetId")), None),
            availability_zone=item.get("availabilityZone"),
            interface_ids=ids(details, "networkInterfaceId"),
            addresses=unique(d.get(f) for d in held for f in ("privateIPv4Address", "ipv6Address")),
            created_at=moment(item.get("createdAt")),
            member_of=unique([item.get("clusterArn"), item.get("containerInstanceArn")]),
            tags=seen.tags(item.get("tags")),
            detail=said(
                group=item.get("group"),
                cluster=_last(item.get("clusterArn")),
                task_definition=item.get("taskDefinitionArn"),
                launch_type=item.get("launchType"),
            ),
        )
    ]


def _task_name(item: Item) -> str | None:
    """'service:web' is the group of a service's task, 'family:batch' that of one started alone."""
    group = item.get("group") or ""
    if group.startswith(("service:", "family:")):
        return str(group.split(":", 1)[1])
    definition = item.get("taskDefinitionArn") or ""
    return _last(definition.rsplit(":", 1)[0]) if definition else None


def eks_cluster_rows(item: Item, seen: Seen) -> list[Row]:
    """An EKS cluster; its control plane's interfaces are named after it."""
    network = item.get("resourcesVpcConfig") or {}
    arn = item["arn"]
    return [
        seen.row(
            "eks_cluster",
            arn,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["name"],
            vpc_id=network.get("vpcId"),
            subnet_ids=network.get("subnetIds") or [],
            created_at=moment(item.get("createdAt")),
            security_group_ids=unique(
                [*(network.get("securityGroupIds") or []), network.get("clusterSecurityGroupId")]
            ),
            ports=[443],
            dns_names=unique([(item.get("endpoint") or "").removeprefix("https://")]),
            tags=seen.tags(item.get("tags")),
            detail=said(endpoint=item.get("endpoint"), status=item.get("status"), version=item.get("version")),
        )
    ]


def file_system_rows(item: Item, seen: Seen) -> list[Row]:
    """An EFS file system with its mount targets."""
    targets = item.get("MountTargets")
    living = [t for t in targets or [] if t.get("LifeCycleState") != "deleted"]
    owner = seen.owner(item)
    told = targets is not None
    return [
        seen.row(
            "file_system",
            item["FileSystemId"],
            ABSENT if item.get("LifeCycleState") == "deleted" else PRESENT if told else PARTIAL,
            account_id=owner,
            arn=item.get("FileSystemArn")
            or seen.arn("elasticfilesystem", owner, f"file-system/{item['FileSystemId']}"),
            name=item.get("Name"),
            vpc_id=next((t["VpcId"] for t in living if t.get("VpcId")), None),
            subnet_ids=ids(living, "SubnetId") if told else None,
            interface_ids=ids(living, "NetworkInterfaceId") if told else None,
            addresses=unique(t.get(f) for t in living for f in ("IpAddress", "Ipv6Address")) if told else None,
            created_at=moment(item.get("CreationTime")),
            ports=[_NFS],
            tags=seen.tags(item.get("Tags")),
        )
    ]


def search_domain_rows(item: Item, seen: Seen) -> list[Row]:
    """An OpenSearch or Elasticsearch domain; without VPCOptions it is public and has no interfaces here."""
    network = item.get("VPCOptions") or {}
    endpoints = unique([item.get("Endpoint"), *(item.get("Endpoints") or {}).values()])
    arn = item["ARN"]
    return [
        seen.row(
            "search_domain",
            arn,
            ABSENT if item.get("Deleted") and not item.get("Processing", True) else PRESENT,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["DomainName"],
            vpc_id=network.get("VPCId"),
            subnet_ids=network.get("SubnetIds") or [],
            security_group_ids=network.get("SecurityGroupIds") or [],
            service_name=item.get("EngineVersion") or item.get("ElasticsearchVersion"),
            ports=[443, 80],
            dns_names=endpoints,
            detail=said(endpoint=next(iter(endpoints), None)),
        )
    ]


def warehouse_rows(item: Item, seen: Seen) -> list[Row]:
    """A Redshift cluster; addresses are its nodes' private ones."""
    endpoint = item.get("Endpoint") or {}
    nodes = item.get("ClusterNodes") or []
    group = item.get("SubnetGroup")
    arn = seen.arn("redshift", seen.account_id, f"cluster:{item['ClusterIdentifier']}")
    return [
        seen.row(
            "warehouse",
            arn,
            PARTIAL if group is None else PRESENT,
            arn=arn,
            name=item["ClusterIdentifier"],
            vpc_id=item.get("VpcId"),
            subnet_ids=ids(group.get("Subnets") or [], "SubnetIdentifier") if group else None,
            availability_zone=item.get("AvailabilityZone"),
            addresses=ids(nodes, "PrivateIPAddress"),
            public_addresses=ids(nodes, "PublicIPAddress"),
            created_at=moment(item.get("ClusterCreateTime")),
            security_group_ids=_active_groups(item.get("VpcSecurityGroups")),
            service_name="redshift",
            ports=unique_ports([endpoint.get("Port")]),
            dns_names=unique([endpoint.get("Address")]),
            tags=seen.tags(item.get("Tags")),
            detail=said(endpoint=endpoint.get("Address"), status=item.get("ClusterStatus")),
        )
    ]


def kafka_cluster_rows(item: Item, seen: Seen) -> list[Row]:
    """An MSK cluster, provisioned or serverless; brokers' interfaces where ListNodes told them."""
    brokers = (item.get("Provisioned") or {}).get("BrokerNodeGroupInfo") or item.get("BrokerNodeGroupInfo") or {}
    serverless = (item.get("Serverless") or {}).get("VpcConfigs") or []
    nodes = item.get("Nodes")
    infos = [node.get("BrokerNodeInfo") or node.get("ControllerNodeInfo") or {} for node in nodes or []]
    arn = item["ClusterArn"]
    return [
        seen.row(
            "kafka_cluster",
            arn,
            PRESENT if nodes is not None or serverless else PARTIAL,
            account_id=_account(arn, seen),
            arn=arn,
            name=item["ClusterName"],
            subnet_ids=unique(
                [*(brokers.get("ClientSubnets") or []), *(s for v in serverless for s in v.get("SubnetIds") or [])]
            ),
            interface_ids=ids(infos, "AttachedENIId") if nodes is not None else None,
            addresses=ids(infos, "ClientVpcIpAddress") if nodes is not None else None,
            created_at=moment(item.get("CreationTime")),
            security_group_ids=unique(
                [
                    *(brokers.get("SecurityGroups") or []),
                    *(s for v in serverless for s in v.get("SecurityGroupIds") or []),
                ]
            ),
            service_name="kafka",
            ports=[9098] if serverless else list(_KAFKA_PORTS),
            dns_names=unique(name for info in infos for name in info.get("Endpoints") or []),
            tags=seen.tags(item.get("Tags")),
            detail=said(
                brokers=(item.get("Provisioned") or item).get("NumberOfBrokerNodes"),
                cluster_type=item.get("ClusterType"),
            ),
        )
    ]


def shared_subnet_rows(item: Item, seen: Seen) -> list[Row]:
    """A subnet that this account shares by RAM; principals (accounts, units, the organisation) are in detail."""
    arn = Arn.parse(item["arn"])
    return [
        seen.row(
            "shared_subnet",
            arn.resource.rsplit("/", 1)[1],
            account_id=arn.account_id or seen.account_id,
            region=arn.region or seen.region,
            arn=item["arn"],
            subnet_id=arn.resource.rsplit("/", 1)[1],
            detail=said(principals=item.get("principals") or [], share_arn=item.get("resourceShareArn")),
        )
    ]


def account_rows(item: Item, seen: Seen) -> list[Row]:
    """An account of the organisation, with Units (names of its organisational units, outermost first) added.

    Of its e-mail address only the domain is kept.
    """
    email = item.get("Email") or ""
    return [
        seen.row(
            "account",
            item["Id"],
            ABSENT if item.get("Status") == "CLOSED" else PRESENT,
            account_id=item["Id"],
            region=None,
            arn=item.get("Arn"),
            name=item.get("Name"),
            created_at=moment(item.get("JoinedTimestamp")),
            tags=seen.tags(item.get("Tags")),
            detail=said(
                organizational_units=item.get("Units"),
                email_domain=email.rsplit("@", 1)[1] if "@" in email else None,
                status=item.get("Status"),
            ),
        )
    ]


def tags_rows(item: Item, seen: Seen) -> list[Row]:
    """The whole tag set of one resource, from the tagging API ({ResourceARN, Tags}).

    entity_id is the id by which observations know it (i-…, fs-…), else the ARN; see lake.arns.entity_id_of.
    """
    arn = item["ResourceARN"]
    parsed = Arn.parse(arn)
    account = parsed.account_id if parsed.account_id.isdigit() else seen.account_id
    return [
        seen.row(
            "tags",
            entity_id_of(arn),
            account_id=account,
            region=parsed.region or seen.region,
            arn=arn,
            tags=seen.tags(item.get("Tags") or []),
        )
    ]


def unique_ports(ports: list[Any]) -> list[int]:
    """The ports that are said (0 says nothing), in order, each once."""
    return list(dict.fromkeys(int(port) for port in ports if port))


def _active_groups(groups: list[dict[str, Any]] | None) -> list[str]:
    """Security groups of a database; one being removed no longer counts."""
    return ids([g for g in groups or [] if g.get("Status") != "removing"], "VpcSecurityGroupId") or []


def _account(arn: str, seen: Seen) -> str:
    account = Arn.parse(arn).account_id
    return account if account.isdigit() else seen.account_id


def _last(path: str | None) -> str | None:
    return path.rsplit("/", 1)[-1] if path else None


def _private(addresses: list[str] | None) -> list[str] | None:
    return None if addresses is None else [a for a in addresses if ipaddress.ip_address(a).is_private]


def _public(addresses: list[str] | None) -> list[str] | None:
    return None if addresses is None else [a for a in addresses if not ipaddress.ip_address(a).is_private]
