"""What is built on the network, as its services describe it: items as the inventory completes them."""

from __future__ import annotations

import hashlib

from flowlake.sandbox.describe_interfaces import LONG_AGO, Item, mac, moment, tag_list
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Account, Interface, Thing


def _of_account(thing: Thing) -> str:
    """What tells databases of one name in two accounts apart in the names of their endpoints."""
    return hashlib.sha256(thing.account.id.encode()).hexdigest()[:11]


def load_balancer(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "AvailabilityZones": [
            {"SubnetId": s.id, "ZoneName": s.zone_name, "LoadBalancerAddresses": []} for s in a["subnets"]
        ],
        "CreatedTime": LONG_AGO,
        "DNSName": f"{a['name']}-{thing.id[-8:]}.{thing.region}.elb.amazonaws.com",
        "Listeners": [{"Port": port} for port in a["ports"]],
        "LoadBalancerArn": thing.id,
        "LoadBalancerName": a["name"],
        "Scheme": a["scheme"],
        "SecurityGroups": a["groups"],
        "Type": a["lb_type"],
        "VpcId": a["vpc"].id,
    }


def target_group(estate: Estate, thing: Thing, at: int) -> Item:
    a = thing.attributes
    alive = [life for life in estate.groups[a["targets"]].lives if life.since <= at < life.until]
    return {
        "LoadBalancerArns": a["load_balancers"],
        "Port": a["port"],
        "Protocol": a["protocol"],
        "TargetGroupArn": thing.id,
        "TargetGroupName": a["name"],
        "TargetHealthDescriptions": [
            {"Target": {"Id": estate.interfaces[life.interface].instance_id or life.address, "Port": a["port"]}}
            for life in alive
        ],
        "TargetType": a["target_type"],
        "VpcId": a["vpc"].id,
    }


def db_instance(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "AvailabilityZone": a["interface"].subnet.zone_name,
        "DBInstanceArn": thing.id,
        "DBInstanceIdentifier": a["name"],
        "DBInstanceStatus": "available",
        "DBSubnetGroup": {
            "DBSubnetGroupName": f"{a['name']}-subnets",
            "Subnets": [{"SubnetIdentifier": s.id} for s in a["subnets"]],
            "VpcId": a["vpc"].id,
        },
        "Endpoint": {
            "Address": f"{a['name']}.c{_of_account(thing)}.{thing.region}.rds.amazonaws.com",
            "Port": a["port"],
        },
        "Engine": a["engine"],
        "InstanceCreateTime": LONG_AGO,
        "MultiAZ": False,
        "PubliclyAccessible": False,
        "TagList": tag_list(thing.tags),
        "VpcSecurityGroups": [{"Status": "active", "VpcSecurityGroupId": g} for g in a["groups"]],
    }


def db_proxy(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreatedDate": LONG_AGO,
        "DBProxyArn": thing.id,
        "DBProxyName": a["name"],
        "Endpoint": f"{a['name']}.proxy-c{_of_account(thing)}.{thing.region}.rds.amazonaws.com",
        "EngineFamily": {"postgres": "POSTGRESQL", "mysql": "MYSQL"}[a["engine"]],
        "Status": "available",
        "Targets": [{"RdsResourceId": target, "Type": "RDS_INSTANCE"} for target in a["targets"]],
        "VpcId": a["vpc"].id,
        "VpcSecurityGroupIds": a["groups"],
        "VpcSubnetIds": [s.id for s in a["subnets"]],
    }


def cache(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ARN": thing.id,
        "CacheClusterCreateTime": LONG_AGO,
        "CacheClusterId": a["name"],
        "CacheClusterStatus": "available",
        "CacheSubnetGroupName": f"{a['name']}-subnets",
        "CacheNodes": [
            {"CacheNodeId": "0001", "Endpoint": {"Address": f"{a['name']}.0001.cache.amazonaws.com", "Port": a["port"]}}
        ],
        "Engine": "redis",
        "PreferredAvailabilityZone": a["subnet"].zone_name,
        "ReplicationGroupId": a["name"].rsplit("-", 1)[0],
        "SecurityGroups": [{"SecurityGroupId": g, "Status": "active"} for g in a["groups"]],
        "SubnetGroup": {"Subnets": [{"SubnetIdentifier": a["subnet"].id}], "VpcId": a["vpc"].id},
    }


def function(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "FunctionArn": thing.id,
        "FunctionName": a["name"],
        "PackageType": "Zip",
        "Runtime": a["runtime"],
        "VpcConfig": {
            "SecurityGroupIds": a["groups"], "SubnetIds": [s.id for s in a["subnets"]], "VpcId": a["vpc"].id,
        },
    }  # fmt: skip


def ecs_service(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "clusterArn": a["cluster"],
        "createdAt": LONG_AGO,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {"securityGroups": a["groups"], "subnets": [s.id for s in a["subnets"]]}
        },
        "serviceArn": thing.id,
        "serviceName": a["name"],
        "status": "ACTIVE",
        "tags": [{"key": k, "value": v} for k, v in sorted(thing.tags.items())],
        "taskDefinition": a["task_definition"],
    }


def ecs_task(thing: Thing) -> Item:
    a = thing.attributes
    interface: Interface = a["interface"]
    return {
        "attachments": [
            {
                "details": [
                    {"name": "subnetId", "value": interface.subnet.id},
                    {"name": "networkInterfaceId", "value": interface.id},
                    {"name": "macAddress", "value": mac(interface)},
                    {"name": "privateIPv4Address", "value": interface.address},
                ],
                "id": a["attachment"],
                "status": "ATTACHED",
                "type": "ElasticNetworkInterface",
            }
        ],
        "availabilityZone": interface.subnet.zone_name,
        "clusterArn": a["cluster"],
        "createdAt": moment(thing.created),
        "group": a["group"],
        "lastStatus": "RUNNING",
        "launchType": a["launch_type"],
        "tags": [{"key": k, "value": v} for k, v in sorted(thing.tags.items())],
        "taskArn": thing.id,
        "taskDefinitionArn": a["task_definition"],
    }


def eks_cluster(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "arn": thing.id,
        "createdAt": LONG_AGO,
        "endpoint": f"https://{thing.id[-8:]}.gr7.{thing.region}.eks.amazonaws.com",
        "name": a["name"],
        "resourcesVpcConfig": {
            "securityGroupIds": a["groups"], "subnetIds": [s.id for s in a["subnets"]], "vpcId": a["vpc"].id,
        },
        "status": "ACTIVE",
        "tags": dict(thing.tags),
        "version": "1.34",
    }  # fmt: skip


def file_system(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreationTime": LONG_AGO,
        "FileSystemArn": f"arn:aws:elasticfilesystem:{thing.region}:{thing.account.id}:file-system/{thing.id}",
        "FileSystemId": thing.id,
        "LifeCycleState": "available",
        "MountTargets": [
            {
                "FileSystemId": thing.id, "IpAddress": i.address, "LifeCycleState": "available",
                "MountTargetId": target,
                "NetworkInterfaceId": i.id, "SubnetId": i.subnet.id, "VpcId": a["vpc"].id,
            }
            for target, i in a["targets"]
        ],
        "Name": a["name"],
        "OwnerId": thing.account.id,
        "Tags": tag_list(thing.tags),
    }  # fmt: skip


def search_domain(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ARN": thing.id,
        "DomainName": a["name"],
        "Endpoints": {"vpc": f"vpc-{a['name']}-abc.{thing.region}.es.amazonaws.com"},
        "EngineVersion": "OpenSearch_2.19",
        "VPCOptions": {
            "SecurityGroupIds": a["groups"],
            "SubnetIds": [s.id for s in a["subnets"]],
            "VPCId": a["vpc"].id,
        },
    }


def kafka_cluster(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ClusterArn": thing.id,
        "ClusterName": a["name"],
        "ClusterType": "PROVISIONED",
        "CreationTime": LONG_AGO,
        "Nodes": [
            {"BrokerNodeInfo": {"AttachedENIId": b.id, "ClientVpcIpAddress": b.address, "Endpoints": []}}
            for b in a["brokers"]
        ],
        "Provisioned": {
            "BrokerNodeGroupInfo": {"ClientSubnets": [s.id for s in a["subnets"]], "SecurityGroups": a["groups"]},
            "NumberOfBrokerNodes": len(a["brokers"]),
        },
        "Tags": dict(thing.tags),
    }


def shared_subnet(thing: Thing) -> Item:
    return {
        "arn": f"arn:aws:ec2:{thing.region}:{thing.account.id}:subnet/{thing.id}",
        "principals": thing.attributes["principals"],
        "resourceShareArn": thing.attributes["share_arn"],
    }


def account(estate: Estate, which: Account) -> Item:
    return {
        "Arn": f"arn:aws:organizations::{estate.accounts[0].id}:account/o-sandbox/{which.id}",
        "Email": f"{which.name}@example.com",
        "Id": which.id,
        "JoinedTimestamp": LONG_AGO,
        "Name": which.name,
        "Status": "ACTIVE",
        "Units": ["Root", "Workloads" if which.index else "Infrastructure"],
    }
