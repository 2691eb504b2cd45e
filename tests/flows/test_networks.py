"""Address ranges with labels: the longest prefix, then the specific service; against a plain model."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.addresses import parse
from flowlake.flows.networks import BadNetworks, Ranges, aws_ranges, known_networks


def found(ranges: Ranges, *texts: str | None) -> list[str | None]:
    codes = ranges.find(*parse(texts)).tolist()
    return [ranges.labels[code] if code >= 0 else None for code in codes]


def test_longest_prefix_then_the_specific_service_then_ec2_then_amazon() -> None:
    listed = [
        ("52.0.0.0/8", "AMAZON"),
        ("52.0.0.0/8", "EC2"),
        ("52.216.0.0/15", "AMAZON"),
        ("52.216.0.0/15", "EC2"),
        ("52.216.0.0/15", "S3"),
        ("52.218.0.0/17", "AMAZON"),
        ("2600:1f18::/33", "AMAZON"),
        ("2600:1f18:4000::/36", "S3"),
    ]
    ranges = aws_ranges({"prefix": prefix, "service": service} for prefix, service in listed)
    asked = ["52.1.1.1", "52.216.1.1", "52.218.1.1", "8.8.8.8", "2600:1f18::1", "2600:1f18:4001::1", None]
    assert found(ranges, *asked) == ["EC2", "S3", "AMAZON", None, "AMAZON", "S3", None]


NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4, network="10.0.0.0/20"), st.sampled_from([0, 8, 20, 24, 28, 31, 32])),
    st.tuples(st.ip_addresses(v=6, network="fd00::/112"), st.sampled_from([0, 8, 48, 64, 65, 112, 128])),
).map(lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False)))
ASKED = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/20"),
    st.ip_addresses(v=6, network="fd00::/112"),
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
).map(str)


@given(st.lists(st.tuples(NETWORKS, st.sampled_from("abcd")), max_size=15), st.lists(ASKED, min_size=1, max_size=15))
def test_the_longest_prefix_that_holds_it_of_equals_the_first(pairs: list[tuple[str, str]], asked: list[str]) -> None:
    def plain(text: str) -> str | None:
        address = ipaddress.ip_address(text)
        # ::ffff:10.0.0.1 is 10.0.0.1.
        address = getattr(address, "ipv4_mapped", None) or address
        holding = [(ipaddress.ip_network(cidr), label) for cidr, label in pairs]
        fitting = [
            (network, label) for network, label in holding if network.version == address.version and address in network
        ]
        return max(fitting, key=lambda f: f[0].prefixlen)[1] if fitting else None

    assert found(Ranges.of(pairs), *asked) == [plain(text) for text in asked]


def test_known_networks_are_lines_of_cidr_and_name() -> None:
    text = "cidr,name\n# offices\n\n192.168.0.0/16, office\n10.1.2.3/24,lab, and more\nfd12::/16,six\n"
    assert found(known_networks(text), "192.168.1.1", "10.1.2.200", "fd12::1", "10.1.3.1") == [
        "office",
        "lab",
        "six",
        None,
    ]
    assert found(known_networks(""), "10.0.0.1") == [None]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.0/8", "line 1: write cidr,name"),
        ("cidr,name\n10.0.0.0/8,", "line 2: write cidr,name"),
        ("10.0.0.0/33,x", "line 1: '10.0.0.0/33'"),
        ("office,10.0.0.0/8", "line 1: 'office'"),
    ],
)
def test_a_bad_line_is_named(text: str, told: str) -> None:
    with pytest.raises(BadNetworks, match=told):
        known_networks(text)
