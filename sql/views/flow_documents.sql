-- Each conversation as one nested JSON document. One row per row of conversations.
--
-- Start and End are UTC. A null stays a null in the document. Casting a row with named fields to JSON is what Athena
-- and DuckDB both know; the names are quoted so that they keep their capitals.
with ends as (
    select
        dt, hour, conversation_id, protocol, server_port, action, leg, uploaded, downloaded,
        replace(substr(cast(started_at as varchar), 1, 19), ' ', 'T') || 'Z' as started,
        replace(substr(cast(ended_at as varchar), 1, 19), ' ', 'T') || 'Z' as ended,
        cast(
            row(
                client_addr, cast(client_arns as json), client_name, client_type, client_interface_id,
                client_subnet_id, client_vpc_id, client_account_id, client_account_name,
                cast(client_security_group_ids as json), client_availability_zone, client_az_id,
                client_region, client_rfc1918, client_network_name, client_aws_service, client_owner,
                client_app, client_tags, client_interface_tags, client_attribution
            ) as row(
                "Addr" varchar, "Arns" json, "Name" varchar, "Type" varchar, "InterfaceId" varchar,
                "SubnetId" varchar, "VpcId" varchar, "AccountId" varchar, "AccountName" varchar,
                "SecurityGroupIds" json, "AvailabilityZone" varchar, "AzId" varchar, "Region" varchar,
                "Rfc1918" boolean, "NetworkName" varchar, "AwsService" varchar, "Owner" varchar,
                "App" varchar, "Tags" map(varchar, varchar), "InterfaceTags" map(varchar, varchar),
                "Attribution" varchar
            )
        ) as client,
        cast(
            row(
                server_addr, cast(server_arns as json), server_name, server_type, server_interface_id,
                server_subnet_id, server_vpc_id, server_account_id, server_account_name,
                cast(server_security_group_ids as json), server_availability_zone, server_az_id,
                server_region, server_rfc1918, server_network_name, server_aws_service, server_owner,
                server_app, server_tags, server_interface_tags, server_attribution
            ) as row(
                "Addr" varchar, "Arns" json, "Name" varchar, "Type" varchar, "InterfaceId" varchar,
                "SubnetId" varchar, "VpcId" varchar, "AccountId" varchar, "AccountName" varchar,
                "SecurityGroupIds" json, "AvailabilityZone" varchar, "AzId" varchar, "Region" varchar,
                "Rfc1918" boolean, "NetworkName" varchar, "AwsService" varchar, "Owner" varchar,
                "App" varchar, "Tags" map(varchar, varchar), "InterfaceTags" map(varchar, varchar),
                "Attribution" varchar
            )
        ) as server
    from conversations
)
select
    dt, hour, conversation_id,
    json_format(
        cast(
            cast(
                row(
                    protocol, server_port, uploaded, downloaded, started, ended, action, leg,
                    cast(client as json), cast(server as json)
                ) as row(
                    "Protocol" integer, "Port" integer, "Uploaded" bigint, "Downloaded" bigint, "Start" varchar,
                    "End" varchar, "Action" varchar, "Leg" varchar, "Client" json, "Server" json
                )
            ) as json
        )
    ) as document
from ends
