"""Formats: from headers and format strings, never from the number of values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.read.formats import (
    FIELD_TYPES,
    TRANSIT_GATEWAY_FIELDS,
    V2_DEFAULT,
    VPC_FIELDS,
    BadFormat,
    Format,
    header_format,
    parse_format,
)
from tests.flows.read.reading import V2


@pytest.mark.parametrize(
    "text",
    [
        "version account-id srcaddr",
        "${version} ${account-id} ${srcaddr}",
        "version,account_id,srcaddr",
        " version  account_id, srcaddr\n",
        "$${version} $${account-id} $${srcaddr}",
        "${version}${account-id}${srcaddr}",
    ],
)
def test_one_format_in_all_its_spellings(text: str) -> None:
    assert parse_format(text).fields == ("version", "account_id", "srcaddr")


def test_the_default_format_has_fourteen_fields() -> None:
    assert parse_format(V2) == V2_DEFAULT
    assert len(V2_DEFAULT.fields) == 14


def test_version_11_names_its_second_tag_slots_with_a_2() -> None:
    names = {"instance_tag", "instance_tag_2", "interface_tag", "interface_tag_2", "asg_tag", "asg_tag_2"}
    assert names <= set(VPC_FIELDS)
    assert len(VPC_FIELDS) == 54


@pytest.mark.parametrize("text", ["", "hello world", "srcaddr dstaddr srcaddr"])
def test_a_format_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadFormat):
        parse_format(text)


def test_fields_that_we_do_not_know_keep_their_place() -> None:
    form = parse_format("srcaddr shiny-new-field dstaddr")
    assert form.column_names == ("srcaddr", "#1", "dstaddr")
    assert form.readable() == ("srcaddr", "dstaddr")
    assert form.unknown == ("shiny_new_field",)


def test_a_format_with_a_transit_gateway_field_is_a_transit_gateway_log() -> None:
    assert parse_format("version tgw-id srcaddr").kind == "transit_gateway"
    assert parse_format("version srcaddr").kind == "vpc"


@given(st.lists(st.sampled_from(sorted(FIELD_TYPES)), min_size=1, unique=True), st.booleans())
def test_a_header_of_any_fields_in_any_order_is_known(fields: list[str], hyphens: bool) -> None:
    tokens = [field.replace("_", "-") if hyphens else field for field in fields]
    assert header_format(tokens) == Format(tuple(fields))


@pytest.mark.parametrize(
    "line",
    [
        "2 123456789010 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK",
        "- - - - - -",
        "Phony unsupported log format.",
        "to be or not to be",
        "eni-1235b8ca123456789 ecs frontend",
        "end of the story",
        "",
    ],
)
def test_lines_of_values_or_prose_are_no_headers(line: str) -> None:
    assert header_format(line.split(" ")) is None


def test_shared_names_mean_the_same_in_both_kinds() -> None:
    shared = set(VPC_FIELDS) & set(TRANSIT_GATEWAY_FIELDS)
    assert {name: VPC_FIELDS[name] for name in shared} == {name: TRANSIT_GATEWAY_FIELDS[name] for name in shared}
