"""Every published description gets its right kind, variants of them too, and a user's own text decides nothing."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.lake.interface_kinds import UNCLASSIFIED, BadRule, InterfaceKind, classify, compile_rule, rules
from tests.samples import sample

ACCOUNT, REGION = "123456789012", "eu-west-1"
UUID = "8c7ac78b-e11d-4dea-8a47-ab2bdeba9bf5"


def kind_of(description: str = "", **said: Any) -> InterfaceKind:
    return classify(description, **{"account_id": ACCOUNT, "region": REGION, **said})


# What eni_descriptions.csv calls a service -> the kinds that its interfaces are.
EXPECTED = {
    "EC2 instance": {"ec2:instance"},
    "EC2 instance or user-created ENI": {"ec2:instance", "ec2:network_interface"},
    "ECS task (awsvpc/Fargate)": {"ecs:task"},
    "NAT gateway": {"nat_gateway"},
    "VPC interface endpoint": {"vpc_endpoint"},
    "Transit gateway attachment": {"transit_gateway"},
    "EFS mount target": {"efs"},
    "Directory Service": {"directory_service"},
    "RDS/Aurora/DocumentDB/Neptune": {"rds"},
    "Lambda": {"lambda:function"},
    "Lambda (Hyperplane)": {"lambda:function"},
    "Lambda (pre-2019 per-function ENI)": {"lambda:function"},
    "Lambda (2018, pre-Hyperplane)": {"lambda:function"},
    "Classic Load Balancer": {"elb:classic"},
    "Application Load Balancer": {"elbv2:application"},
    "Network Load Balancer": {"elbv2:network"},
    "Gateway Load Balancer": {"elbv2:gateway"},
    "Gateway Load Balancer endpoint (also Network Firewall)": {"vpc_endpoint:gateway_load_balancer"},
    "EKS pod branch ENI": {"eks:pod"},
    "EKS control plane": {"eks:control_plane"},
    "EKS node secondary ENI (VPC CNI)": {"eks:node"},
    "MSK": {"msk"},
    "ElastiCache": {"elasticache"},
    "ElastiCache (plus sign instead of a space)": {"elasticache"},
    "EC2 Instance Connect Endpoint": {"ec2:instance_connect_endpoint"},
    "OpenSearch/Elasticsearch Service": {"opensearch"},
    "DMS": {"dms"},
    "Redshift": {"redshift"},
    "Cloud9 (attached to an EC2 instance)": {"cloud9"},
    "API Gateway VPC link (v2)": {"api_gateway:vpc_link"},
    "Route 53 Resolver inbound endpoint": {"route53:resolver_inbound"},
    "Kinesis Data Firehose": {"firehose"},
    "Amazon MQ": {"mq"},
    "Client VPN": {"client_vpn"},
    "SageMaker notebook": {"sagemaker:notebook"},
    "SageMaker Studio": {"sagemaker:studio"},
    "Glue": {"glue"},
    "WorkSpaces": {"workspaces"},
    "DataSync": {"datasync"},
    "RDS Proxy": {"rds:proxy"},
    "DAX": {"dax"},
    "EMR": {"emr"},
    "CloudHSM classic": {"cloudhsm"},
    "CloudHSM v2": {"cloudhsm"},
    "CodeStar Connections": {"codestar_connections"},
    "Global Accelerator (ENI appears in the endpoint subnets)": {"global_accelerator"},
    "CodeBuild": {"codebuild"},
    "Comprehend": {"comprehend"},
    "Bedrock AgentCore runtime": {"bedrock:agentcore"},
}


def test_every_published_row_gets_its_kind() -> None:
    wrong = []
    with sample("eni_descriptions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        # One row is known by its interface's tag alone; the column for it is the source.
        tags = {"AmazonBedrockAgentCoreManaged": "true"} if "AgentCoreManaged" in row["source"] else {}
        kind = kind_of(
            row["description"],
            interface_type=row["interface_type"],
            requester_id=row["requester_id"],
            instance_owner_id=row["attachment_instance_owner"],
            tags=tags,
        )
        if kind.type not in EXPECTED[row["service"]]:
            wrong.append((number, row["service"], row["description"], kind.type))
    assert wrong == []
    assert len(rows) == 77


def test_user_made_interfaces_are_an_instances_only_where_they_are_attached_in_an_accounts_name() -> None:
    with sample("eni_descriptions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["service"] == "EC2 instance or user-created ENI"]
    for row in rows:
        owner = row["attachment_instance_owner"]
        kind = kind_of(
            row["description"],
            interface_type=row["interface_type"],
            requester_id=row["requester_id"],
            instance_owner_id=owner,
        )
        assert kind.type == ("ec2:instance" if owner else "ec2:network_interface")


ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/"
INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0abc"
ATTACHED = {"instance_id": "i-0abc", "instance_owner_id": ACCOUNT}

# rule -> what it is tried on, kind, name, ARNs. One line a rule at least: a rule that nothing reaches is wrong.
EXAMPLES: list[tuple[str, dict[str, Any], str, str | None, tuple[str, ...]]] = [
    ("eks-pod-branch", {"description": "aws-k8s-branch-eni", "interface_type": "branch"}, "eks:pod", None, ()),
    (
        "eks-pod-branch-tags",
        {"interface_type": "branch", "tags": {"vpcresources.k8s.aws/trunk-eni-id": "eni-1"}},
        "eks:pod",
        None,
        (),
    ),
    ("eks-branch-other", {"interface_type": "branch", "tags": {"eks:eni:owner": "x"}}, "eks:pod", None, ()),
    ("ecs-task", {"description": "arn:aws-cn:ecs:cn-north-1:123456789012:attachment/0-1"}, "ecs:task", None, ()),
    # awsvpc on EC2: the task's interface hangs on the container instance, and is the task's all the same.
    (
        "ecs-task",
        {"description": f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/0-1", **ATTACHED},
        "ecs:task",
        None,
        (),
    ),
    (
        "eks-trunk",
        {"description": "aws-k8s-trunk-eni", "interface_type": "trunk", **ATTACHED},
        "eks:node",
        "i-0abc",
        (INSTANCE,),
    ),
    ("eks-node-cni", {"description": "aws-K8S-i-0abc"}, "eks:node", "i-0abc", (INSTANCE,)),
    ("eks-node-cni", {"description": "aws-K8S-i-0fff", **ATTACHED}, "eks:node", "i-0abc", (INSTANCE,)),
    (
        "eks-node-tag",
        {"tags": {"node.k8s.amazonaws.com/instance_id": "i-0abc"}},
        "eks:node",
        "i-0abc",
        (INSTANCE,),
    ),
    (
        "eks-node-cluster-tag",
        {"tags": {"cluster.k8s.amazonaws.com/name": "c"}, **ATTACHED},
        "eks:node",
        "i-0abc",
        (INSTANCE,),
    ),
    ("eks-node-eks-tag", {"tags": {"eks:cluster-name": "c"}, **ATTACHED}, "eks:node", "i-0abc", (INSTANCE,)),
    ("eks-node-aws-eks-tag", {"tags": {"aws:eks:cluster-name": "c"}, **ATTACHED}, "eks:node", "i-0abc", (INSTANCE,)),
    ("eks-node-owned", {"tags": {"kubernetes.io/cluster/c": "owned"}, **ATTACHED}, "eks:node", "i-0abc", (INSTANCE,)),
    ("eks-node-karpenter", {"tags": {"karpenter.sh/nodepool": "p"}, **ATTACHED}, "eks:node", "i-0abc", (INSTANCE,)),
    ("instance", ATTACHED, "ec2:instance", "i-0abc", (INSTANCE,)),
    (
        "instance",
        {"description": "ENI for AWS Cloud9 environment x", **ATTACHED},
        "ec2:instance",
        "i-0abc",
        (INSTANCE,),
    ),
    (
        "elbv2-application",
        {"description": "ELB app/web-1/0a1b"},
        "elbv2:application",
        "web-1",
        (f"{ELB}app/web-1/0a1b",),
    ),
    ("elbv2-application-nameless", {"description": "ELB app/web-1"}, "elbv2:application", "web-1", ()),
    ("elbv2-network", {"description": "ELB net/n/0a1b"}, "elbv2:network", "n", (f"{ELB}net/n/0a1b",)),
    ("elbv2-network-nameless", {"description": "ELB net/n"}, "elbv2:network", "n", ()),
    ("elbv2-network-type", {"interface_type": "network_load_balancer"}, "elbv2:network", None, ()),
    ("elbv2-gateway", {"description": "ELB gwy/g/0a1b"}, "elbv2:gateway", "g", (f"{ELB}gwy/g/0a1b",)),
    ("elbv2-gateway-nameless", {"description": "ELB gwy/<name>/<hash>"}, "elbv2:gateway", "<name>", ()),
    ("elbv2-gateway-type", {"interface_type": "gateway_load_balancer"}, "elbv2:gateway", None, ()),
    ("elb-classic", {"description": "ELB old-lb"}, "elb:classic", "old-lb", (f"{ELB}old-lb",)),
    (
        "lambda-hyperplane",
        {"description": f"AWS Lambda VPC ENI-my-fn-2-{UUID}", "interface_type": "lambda"},
        "lambda:function",
        "my-fn-2",
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:my-fn-2",),
    ),
    ("lambda-hyperplane-nameless", {"description": "AWS Lambda VPC ENI-cut-8c7a"}, "lambda:function", None, ()),
    ("lambda-old", {"description": f"AWS Lambda VPC ENI: {UUID}"}, "lambda:function", None, ()),
    ("lambda-vpc", {"description": "AWS Lambda VPC"}, "lambda:function", None, ()),
    ("lambda-type", {"interface_type": "lambda"}, "lambda:function", None, ()),
    ("lambda-owner", {"instance_owner_id": "aws-lambda"}, "lambda:function", None, ()),
    ("lambda-requester", {"requester_id": "AROAX:awslambda_1_20180101"}, "lambda:function", None, ()),
    ("rds", {"description": "RDSNetworkInterface", "requester_id": "amazon-rds"}, "rds", None, ()),
    ("rds-requester", {"requester_id": "amazon-rds"}, "rds", None, ()),
    ("rds-owner", {"instance_owner_id": "amazon-rds"}, "rds", None, ()),
    ("rds-proxy", {"description": "Network interface for DBProxy orders-proxy"}, "rds:proxy", "orders-proxy", ()),
    (
        "elasticache",
        {"description": "ElastiCache sessions-0001-002"},
        "elasticache",
        "sessions-0001-002",
        (f"arn:aws:elasticache:{REGION}:{ACCOUNT}:cluster:sessions-0001-002",),
    ),
    (
        "elasticache",
        {"description": "ElastiCache+sessions-001"},
        "elasticache",
        "sessions-001",
        (f"arn:aws:elasticache:{REGION}:{ACCOUNT}:cluster:sessions-001",),
    ),
    ("elasticache-nameless", {"description": "ElastiCache"}, "elasticache", None, ()),
    ("elasticache-requester", {"requester_id": "amazon-elasticache"}, "elasticache", None, ()),
    ("memorydb", {"description": "MemoryDB sessions-0001-001"}, "memorydb", "sessions-0001-001", ()),
    ("dax", {"description": "DAX menu-cache"}, "dax", "menu-cache", ()),
    ("redshift", {"description": "RedshiftNetworkInterface"}, "redshift", None, ()),
    ("redshift-requester", {"requester_id": "amazon-redshift"}, "redshift", None, ()),
    ("dms", {"description": "DMSNetworkInterface"}, "dms", None, ()),
    ("opensearch", {"description": "ES logs"}, "opensearch", "logs", (f"arn:aws:es:{REGION}:{ACCOUNT}:domain/logs",)),
    ("opensearch-words", {"description": "OpenSearch Ingestion pipeline"}, "opensearch", None, ()),
    (
        "msk",
        {
            "description": "DO NOT DELETE - Amazon MSK network interface for cluster "
            f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/events/{UUID}-2."
        },
        "msk",
        "events",
        (f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/events/{UUID}-2",),
    ),
    ("msk-words", {"description": "Amazon MSK network interface"}, "msk", None, ()),
    ("mq", {"description": f"Amazon MQ network interface for broker b-{UUID}"}, "mq", f"b-{UUID}", ()),
    ("mq-words", {"description": "AmazonMQ"}, "mq", None, ()),
    (
        "firehose",
        {"description": "Amazon Kinesis Firehose - 777777777777:flow-logs:1641374697543."},
        "firehose",
        "flow-logs",
        (f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/flow-logs",),
    ),
    ("firehose-words", {"description": "Amazon Data Firehose interface"}, "firehose", None, ()),
    (
        "nat-gateway",
        {"description": "Interface for NAT Gateway nat-0a1", "interface_type": "nat_gateway"},
        "nat_gateway",
        "nat-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:natgateway/nat-0a1",),
    ),
    ("nat-gateway-type", {"interface_type": "natGateway"}, "nat_gateway", None, ()),
    (
        "transit-gateway",
        {"description": "Network Interface for Transit Gateway Attachment tgw-attach-0a1"},
        "transit_gateway",
        "tgw-attach-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:transit-gateway-attachment/tgw-attach-0a1",),
    ),
    ("transit-gateway-type", {"interface_type": "transit_gateway"}, "transit_gateway", None, ()),
    (
        "network-firewall",
        {"tags": {"AWSNetworkFirewallManaged": "true"}, "interface_type": "gateway_load_balancer_endpoint"},
        "network_firewall",
        None,
        (),
    ),
    (
        "gateway-load-balancer-endpoint",
        {"description": "VPC Endpoint Interface vpce-0a1", "interface_type": "gateway_load_balancer_endpoint"},
        "vpc_endpoint:gateway_load_balancer",
        "vpce-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-endpoint/vpce-0a1",),
    ),
    (
        "gateway-load-balancer-endpoint-type",
        {"interface_type": "gateway_load_balancer_endpoint"},
        "vpc_endpoint:gateway_load_balancer",
        None,
        (),
    ),
    (
        "vpc-endpoint",
        {"description": "VPC Endpoint Interface vpce-0a1", "interface_type": "vpc_endpoint"},
        "vpc_endpoint",
        "vpce-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-endpoint/vpce-0a1",),
    ),
    ("vpc-endpoint-words", {"description": "VPC Endpoint Interface"}, "vpc_endpoint", None, ()),
    ("vpc-endpoint-type", {"interface_type": "vpc_endpoint"}, "vpc_endpoint", None, ()),
    (
        "resolver-inbound",
        {"description": "Route 53 Resolver: rslvr-in-0a1:rni-0b2"},
        "route53:resolver_inbound",
        "rslvr-in-0a1",
        (f"arn:aws:route53resolver:{REGION}:{ACCOUNT}:resolver-endpoint/rslvr-in-0a1",),
    ),
    (
        "resolver-outbound",
        {"description": "Route 53 Resolver: rslvr-out-0a1:rni-0b2"},
        "route53:resolver_outbound",
        "rslvr-out-0a1",
        (f"arn:aws:route53resolver:{REGION}:{ACCOUNT}:resolver-endpoint/rslvr-out-0a1",),
    ),
    ("resolver", {"description": "Route 53 Resolver"}, "route53:resolver", None, ()),
    ("client-vpn", {"description": "ClientVPN Endpoint resource"}, "client_vpn", None, ()),
    (
        "instance-connect-endpoint",
        {"description": "EC2 Instance Connect Endpoint - eice-0a1"},
        "ec2:instance_connect_endpoint",
        "eice-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance-connect-endpoint/eice-0a1",),
    ),
    (
        "instance-connect-endpoint-type",
        {"interface_type": "ec2_instance_connect_endpoint"},
        "ec2:instance_connect_endpoint",
        None,
        (),
    ),
    ("global-accelerator", {"description": "GlobalAccelerator managed ENI"}, "global_accelerator", None, ()),
    ("global-accelerator-type", {"interface_type": "global_accelerator_managed"}, "global_accelerator", None, ()),
    (
        "api-gateway",
        {"description": "ENI managed by APIGateway", "tags": {"VpcLinkId": "ucie4k"}},
        "api_gateway:vpc_link",
        "ucie4k",
        (f"arn:aws:apigateway:{REGION}::/vpclinks/ucie4k",),
    ),
    ("api-gateway-nameless", {"description": "ENI managed by APIGateway"}, "api_gateway:vpc_link", None, ()),
    ("api-gateway-type", {"interface_type": "api_gateway_managed"}, "api_gateway:vpc_link", None, ()),
    (
        "efs",
        {"description": "EFS mount target for fs-0a1 (fsmt-0b2)", "interface_type": "efs"},
        "efs",
        "fs-0a1",
        (f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-0a1",),
    ),
    ("efs-type", {"interface_type": "efs"}, "efs", None, ()),
    (
        "fsx",
        {"description": "AWS created network interface for fs-0a1"},
        "fsx",
        "fs-0a1",
        (f"arn:aws:fsx:{REGION}:{ACCOUNT}:file-system/fs-0a1",),
    ),
    ("datasync", {"description": "datasync task-0a1"}, "datasync", "task-0a1", ()),
    (
        "eks-control-plane",
        {"description": "Amazon EKS prod_1", "requester_id": "AROAX:AmazonEKS"},
        "eks:control_plane",
        "prod_1",
        (f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod_1",),
    ),
    ("eks-control-plane-requester", {"requester_id": "AROAX:AmazonEKS"}, "eks:control_plane", None, ()),
    (
        "directory-service",
        {"description": "AWS created network interface for directory d-90677cc91c"},
        "directory_service",
        "d-90677cc91c",
        (f"arn:aws:ds:{REGION}:{ACCOUNT}:directory/d-90677cc91c",),
    ),
    (
        "workspaces",
        {"description": "Created By Amazon Workspaces for AWS Account ID 123456789012"},
        "workspaces",
        None,
        (),
    ),
    ("cloud9", {"description": "ENI for AWS Cloud9 environment aws-cloud9-x-1"}, "cloud9", "aws-cloud9-x-1", ()),
    (
        "sagemaker-notebook",
        {
            "description": "[Do not delete] Network Interface created to access resources in your VPC for SageMaker "
            f"Notebook Instance [arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/nb]"
        },
        "sagemaker:notebook",
        "nb",
        (f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/nb",),
    ),
    (
        "sagemaker-notebook-named",
        {"description": "… in your VPC for SageMaker Notebook Instance nb"},
        "sagemaker:notebook",
        "nb",
        (f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/nb",),
    ),
    (
        "sagemaker-studio",
        {"description": "[DO NOT DELETE] ENI managed by SageMaker for Studio Domain(d-g7djlrunxivy) - a09d"},
        "sagemaker:studio",
        "d-g7djlrunxivy",
        (f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/d-g7djlrunxivy",),
    ),
    (
        "sagemaker-studio-nameless",
        {"description": "ENI managed by SageMaker for Studio Domain"},
        "sagemaker:studio",
        None,
        (),
    ),
    ("sagemaker-words", {"description": "SageMaker training"}, "sagemaker", None, ()),
    (
        "glue",
        {"description": "Attached to Glue using role: arn:aws:iam::123456789012:role/service/etl"},
        "glue",
        "etl",
        (),
    ),
    ("glue-words", {"description": "Attached to Glue"}, "glue", None, ()),
    (
        "emr",
        {"description": "AWS ElasticMapReduce j-1ABC"},
        "emr",
        "j-1ABC",
        (f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/j-1ABC",),
    ),
    ("cloudhsm-classic", {"description": "CloudHSM Managed Interface"}, "cloudhsm", None, ()),
    ("cloudhsm", {"description": "CloudHsm ENI hsm-0a1"}, "cloudhsm", "hsm-0a1", ()),
    ("codestar-connections", {"description": "AWS CodeStar Connections x"}, "codestar_connections", None, ()),
    (
        "codestar-connections-type",
        {"interface_type": "aws_codestar_connections_managed"},
        "codestar_connections",
        None,
        (),
    ),
    ("quicksight", {"interface_type": "quicksight"}, "quicksight", None, ()),
    ("iot", {"interface_type": "iot_rules_managed"}, "iot", None, ()),
    ("bedrock-agentcore", {"tags": {"AmazonBedrockAgentCoreManaged": "true"}}, "bedrock:agentcore", None, ()),
    ("app-runner", {"tags": {"AWSAppRunnerManaged": "true"}}, "app_runner", None, ()),
    ("grafana", {"tags": {"AmazonGrafanaManaged": ""}}, "grafana", None, ()),
    ("codebuild", {"requester_id": f"AROAX:AWSCodeBuild-{UUID}", "interface_type": "interface"}, "codebuild", None, ()),
    ("comprehend", {"requester_id": "AROAX:Comprehend"}, "comprehend", None, ()),
    ("instance-of-account", {"interface_type": "interface", "instance_owner_id": ACCOUNT}, "ec2:instance", None, ()),
    (
        "instance-primary",
        {"description": "Primary network interface", "interface_type": "interface"},
        "ec2:instance",
        None,
        (),
    ),
    (
        "network-interface",
        {"description": "my own", "interface_type": "interface", "requester_id": "AIDAX", "requester_managed": False},
        "ec2:network_interface",
        None,
        (),
    ),
    ("network-interface-old", {"requester_id": "AIDAIYEUEZZQWE5TZHHAE"}, "ec2:network_interface", None, ()),
    # The tags of services, as AWS's own managed policies ask for them:
    (
        "fsx-tag",
        {"tags": {"AmazonFSx.FileSystemId": "fs-0a1"}},
        "fsx",
        "fs-0a1",
        (f"arn:aws:fsx:{REGION}:{ACCOUNT}:file-system/fs-0a1",),
    ),
    (
        "instance-connect-endpoint-tag",
        {"tags": {"InstanceConnectEndpointId": "eice-0a1"}},
        "ec2:instance_connect_endpoint",
        "eice-0a1",
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance-connect-endpoint/eice-0a1",),
    ),
    (
        "sagemaker-notebook-tag",
        {"tags": {"ManagedByAmazonSageMakerResource": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/nb"}},
        "sagemaker:notebook",
        "nb",
        (f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/nb",),
    ),
    (
        "sagemaker-studio-tag",
        {"tags": {"ManagedByAmazonSageMakerResource": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/d-0a1b"}},
        "sagemaker:studio",
        "d-0a1b",
        (f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/d-0a1b",),
    ),
    (
        "eks-node-auto-mode-tag",
        {**ATTACHED, "tags": {"eks:eks-cluster-name": "prod"}},
        "eks:node",
        "i-0abc",
        (INSTANCE,),
    ),
    ("glue-requester", {"requester_id": "AROAX:GlueJobRunnerSession"}, "glue", None, ()),
    ("opensearch-requester", {"requester_id": "amazon-elasticsearch"}, "opensearch", None, ()),
    ("msk-connect-words", {"description": "Amazon MSK Connect connector"}, "msk:connect", None, ()),
    ("elasticache-tag", {"tags": {"AmazonElastiCacheManaged": "true"}}, "elasticache", None, ()),
    ("memorydb-tag", {"tags": {"AmazonMemoryDBManaged": "true"}}, "memorydb", None, ()),
    ("msk-connect-tag", {"tags": {"AmazonMSKConnectManaged": "true"}}, "msk:connect", None, ()),
    ("mwaa-tag", {"tags": {"AmazonMWAAManaged": "true"}}, "mwaa", None, ()),
    ("sagemaker-tag", {"tags": {"ManagedByAmazonSageMakerResource": "true"}}, "sagemaker", None, ()),
    ("glue-tag", {"tags": {"aws-glue-service-resource": "true"}}, "glue", None, ()),
    ("verified-access-tag", {"tags": {"VerifiedAccessManaged": "true"}}, "verified_access", None, ()),
    ("vpc-lattice-tag", {"tags": {"VpcLatticeManaged": "true"}}, "vpc_lattice", None, ()),
    ("cloudfront-vpc-origin-tag", {"tags": {"aws.cloudfront.vpcorigin": "true"}}, "cloudfront:vpc_origin", None, ()),
    ("device-farm-tag", {"tags": {"AWSDeviceFarmManaged": "true"}}, "device_farm", None, ()),
    ("pcs-tag", {"tags": {"AWSPCSManaged": "true"}}, "pcs", None, ()),
    ("prometheus-scraper-tag", {"tags": {"AMPAgentlessScraper": "true"}}, "prometheus:scraper", None, ()),
    ("timestream-tag", {"tags": {"AmazonTimestreamInfluxDBManaged": "true"}}, "timestream:influxdb", None, ()),
    ("workspaces-web-tag", {"tags": {"WorkSpacesWebManaged": "true"}}, "workspaces:web", None, ()),
    (
        "network-monitor-tag",
        {"tags": {"ManagedByCloudWatchNetworkMonitor": "true"}},
        "cloudwatch:network_monitor",
        None,
        (),
    ),
    ("emr-studio-tag", {"tags": {"aws:elasticmapreduce:editor-id": "true"}}, "emr", None, ()),
    # A service's word anywhere, of an interface that is not told to be a user's own:
    (
        "appstream-word",
        {"description": "Amazon AppStream 2.0 network interface", "requester_managed": True},
        "appstream",
        None,
        (),
    ),
    (
        "codebuild-word",
        {"description": "CodeBuild managed network interface", "requester_managed": True},
        "codebuild",
        None,
        (),
    ),
    (
        "api-gateway-word",
        {"description": "VPC link of API Gateway", "requester_managed": True},
        "api_gateway:vpc_link",
        None,
        (),
    ),
    ("transfer-word", {"description": "AWS Transfer for SFTP", "requester_managed": True}, "transfer", None, ()),
    ("mwaa-word", {"description": "Amazon MWAA environment", "requester_managed": True}, "mwaa", None, ()),
    (
        "quicksight-word",
        {"description": "Quicksight VPC connection", "requester_managed": True},
        "quicksight",
        None,
        (),
    ),
    ("lightsail-word", {"description": "Amazon Lightsail", "requester_managed": True}, "lightsail", None, ()),
    (
        "verified-access-word",
        {"description": "AWS Verified Access endpoint", "requester_managed": True},
        "verified_access",
        None,
        (),
    ),
    ("app-runner-word", {"description": "AWS App Runner", "requester_managed": True}, "app_runner", None, ()),
    (
        "kinesis-analytics-word",
        {"description": "Amazon Kinesis Analytics application", "requester_managed": True},
        "kinesis_analytics",
        None,
        (),
    ),
    ("cloudshell-word", {"description": "AWS CloudShell", "requester_managed": True}, "cloudshell", None, ()),
    (
        "global-accelerator-word",
        {"description": "Created by AWS for Global Accelerator", "requester_managed": True},
        "global_accelerator",
        None,
        (),
    ),
    (
        "elasticache-word",
        {"description": "Amazon ElastiCache sessions-0001-001", "requester_managed": True},
        "elasticache",
        None,
        (),
    ),
    ("memorydb-word", {"description": "node of a MemoryDB cluster", "requester_managed": True}, "memorydb", None, ()),
    (
        "redshift-word",
        {"description": "Amazon Redshift Serverless workgroup", "requester_managed": True},
        "redshift",
        None,
        (),
    ),
    (
        "documentdb-word",
        {"description": "DocumentDB elastic cluster", "requester_managed": True},
        "documentdb",
        None,
        (),
    ),
    ("neptune-word", {"description": "Amazon Neptune", "requester_managed": True}, "neptune", None, ()),
    ("timestream-word", {"description": "Timestream for InfluxDB", "requester_managed": True}, "timestream", None, ()),
    ("dms-word", {"description": "AWS Database Migration Service", "requester_managed": True}, "dms", None, ()),
    ("opensearch-word", {"description": "Managed by OpenSearch", "requester_managed": True}, "opensearch", None, ()),
    (
        "vpc-lattice-word",
        {"description": "VPC Lattice resource gateway", "requester_managed": True},
        "vpc_lattice",
        None,
        (),
    ),
    (
        "storage-gateway-word",
        {"description": "AWS Storage Gateway", "requester_managed": True},
        "storage_gateway",
        None,
        (),
    ),
    ("fsx-word", {"description": "Amazon FSx for OpenZFS", "requester_managed": True}, "fsx", None, ()),
    ("efs-word", {"description": "Elastic File System", "requester_managed": True}, "efs", None, ()),
    ("workspaces-word", {"description": "Amazon WorkSpaces", "requester_managed": True}, "workspaces", None, ()),
    (
        "directory-service-word",
        {"description": "AWS Directory Service", "requester_managed": True},
        "directory_service",
        None,
        (),
    ),
    ("client-vpn-word", {"description": "AWS Client VPN", "requester_managed": True}, "client_vpn", None, ()),
    (
        "network-firewall-word",
        {"description": "AWS Network Firewall", "requester_managed": True},
        "network_firewall",
        None,
        (),
    ),
    (
        "cloud-wan-word",
        {"description": "Interface of a Core Network attachment", "requester_managed": True},
        "cloud_wan",
        None,
        (),
    ),
    ("grafana-word", {"description": "Amazon Managed Grafana", "requester_managed": True}, "grafana", None, ()),
    (
        "prometheus-word",
        {"description": "Amazon Managed Service for Prometheus", "requester_managed": True},
        "prometheus:scraper",
        None,
        (),
    ),
    ("cloud9-word", {"description": "AWS Cloud9", "requester_managed": True}, "cloud9", None, ()),
    ("mq-word", {"description": "broker of Amazon MQ", "requester_managed": True}, "mq", None, ()),
    ("eks-word", {"description": "interface of Amazon EKS", "requester_managed": True}, "eks:control_plane", None, ()),
]


@pytest.mark.parametrize(("rule", "said", "type_", "name", "arns"), EXAMPLES)
def test_each_rule_gives_kind_name_and_arns(
    rule: str, said: dict[str, Any], type_: str, name: str | None, arns: tuple[str, ...]
) -> None:
    kind = kind_of(**said)
    assert (kind.rule, kind.type, kind.name, kind.arns) == (rule, type_, name, arns)


def test_every_rule_is_reached_by_an_example() -> None:
    assert {rule.rule for rule in rules()} == {example[0] for example in EXAMPLES}
    assert len({rule.rule for rule in rules()}) == len(rules())


def test_lambda_interfaces_are_shared_and_mount_targets_listen() -> None:
    assert kind_of(f"AWS Lambda VPC ENI-f-{UUID}").shared
    assert not kind_of("ELB app/web/0a1b").shared
    assert kind_of("EFS mount target for fs-0a1 (fsmt-0b2)").listens_on == (2049,)


@pytest.mark.parametrize(
    "said",
    [
        {"description": "Frobnicator managed interface", "requester_managed": True, "interface_type": "interface"},
        {"description": "something", "requester_id": "580336018581", "interface_type": "interface"},
        {"interface_type": "a_type_of_tomorrow"},
        {"instance_owner_id": "amazon-aws", "interface_type": "interface"},
        {},
    ],
)
def test_what_no_rule_knows_is_unclassified_by_name(said: dict[str, Any]) -> None:
    assert kind_of(**said) == InterfaceKind(UNCLASSIFIED)


@pytest.mark.parametrize(
    "description",
    ["ELB app/payments/0a1b", "RDSNetworkInterface", "Interface for NAT Gateway nat-0a1", "ElastiCache sessions"],
)
def test_a_users_text_on_an_attached_interface_decides_nothing(description: str) -> None:
    kind = kind_of(description, **ATTACHED)
    assert (kind.type, kind.arns) == ("ec2:instance", (INSTANCE,))


def test_a_services_word_in_a_users_own_text_decides_nothing() -> None:
    """Made by a user through EC2 itself, attached to nothing: the same words name a kind only where a service may have
    made the interface.
    """
    text = "for the OpenSearch proxy behind API Gateway"
    own = {"interface_type": "interface", "requester_id": "AIDAX", "requester_managed": False}
    assert kind_of(text, **own).type == "ec2:network_interface"
    assert kind_of(text, interface_type="interface", requester_managed=True).type == "api_gateway:vpc_link"


def test_what_hangs_on_another_accounts_instance_is_no_instance_of_this_one() -> None:
    """EC2 tells the instance of whoever owns it. An answer with an attachment in another account's name and without an
    instance is a service's interface: an instance is believed only where the source may just not tell which.
    """
    said = {"interface_type": "interface", "instance_owner_id": "999999999999", "requester_managed": False}
    assert kind_of(**said, instance_id="").type == UNCLASSIFIED
    assert kind_of(**said, instance_id=None).type == "ec2:instance"
    assert kind_of(**{**said, "instance_owner_id": ACCOUNT}, instance_id="").type == "ec2:instance"


def test_arns_are_of_the_partition_and_of_the_owner() -> None:
    gov = kind_of("ELB app/web/0a1b", region="us-gov-west-1")
    assert gov.arns == (f"arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:{ACCOUNT}:loadbalancer/app/web/0a1b",)
    elsewhere = kind_of(instance_id="i-0abc", instance_owner_id="999999999999")
    assert elsewhere.arns == (f"arn:aws:ec2:{REGION}:999999999999:instance/i-0abc",)


def test_arns_that_can_not_be_told_are_left_out() -> None:
    assert classify("ELB app/web/0a1b", account_id=None, region=REGION).arns == ()


@given(st.text(max_size=300), st.sampled_from(["", "interface", "lambda", "vpc_endpoint"]), st.text(max_size=20))
def test_any_text_gets_an_answer(description: str, interface_type: str, requester: str) -> None:
    kind = kind_of(description, interface_type=interface_type, requester_id=requester)
    assert kind.type


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"rule": "r", "type": "t", "when": {"description": "("}}, "unterminated|missing"),
        ({"rule": "r", "type": "t", "when": {"colour": "blue"}}, "colour"),
        ({"rule": "r", "type": "t", "when": {}}, "condition"),
    ],
)
def test_a_bad_rule_is_named(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRule, match=why):
        compile_rule(entry)
