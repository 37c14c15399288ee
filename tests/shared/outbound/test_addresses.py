"""Which addresses may be connected to, one row each."""

from ipaddress import ip_address, ip_network

import pytest

from services.shared.outbound.addresses import check_address
from services.shared.outbound.base import NoUsableAddress

PUBLIC = [
    "93.184.216.34", "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.1", "169.253.255.255", "223.255.255.255",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2a00:1450:4001::1", "2620:fe::fe",
    "::ffff:93.184.216.34", "64:ff9b::93.184.216.34",
]  # fmt: skip

REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fdff::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1"],
    "CGNAT": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.1", "198.18.0.1", "198.19.255.255", "2001:2::1", "4000::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0"],
    "IPv4-compatible": ["::127.0.0.1", "::10.0.0.1", "::93.184.216.34"],
    "6to4": ["2002:7f00:1::1", "2002:a00:1::1", "2002:5db8:d822::1", "192.88.99.1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
                 "fd00:ec2::254", "fd20:ce::254"],
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_used(address: str) -> None:
    check_address(ip_address(address))


@pytest.mark.parametrize("address", [each for row in REFUSED.values() for each in row])
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(NoUsableAddress) as refusal:
        check_address(ip_address(address))
    assert refusal.value.field == "url"
    assert address not in refusal.value.detail


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("64:ff9b::10.1.2.3", "10.1.0.0/16"),
        ("fd12::1", "fd12::/16"),
        ("169.254.7.7", "169.254.0.0/16"),
    ],
)
def test_a_network_that_the_operator_lists_may_be_used(address: str, listed: str) -> None:
    check_address(ip_address(address), allow_private_networks=(ip_network(listed),))


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("10.2.0.1", "10.1.0.0/16"),
        ("fd13::1", "fd12::/16"),
        ("169.254.169.254", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "::/0"),
        ("64:ff9b::169.254.169.254", "::/0"),
        ("fd00:ec2::254", "fd00::/8"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("0.0.0.0", "0.0.0.0/0"),
        ("224.0.0.1", "0.0.0.0/0"),
        ("ff02::1", "::/0"),
    ],
)
def test_a_listed_network_opens_neither_others_nor_metadata_services(address: str, listed: str) -> None:
    with pytest.raises(NoUsableAddress):
        check_address(ip_address(address), allow_private_networks=(ip_network(listed),))
