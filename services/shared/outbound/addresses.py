"""Which addresses may be connected to. Pure.

The tables follow IANA's special-purpose address registries (RFC 6890 and later additions) and are written out, because
`ipaddress.is_global` changes between Python's patch releases.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from services.shared.outbound.base import NoUsableAddress

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


# Refused even inside a network that the operator lists: nobody keeps images there, and the metadata services give
# credentials to whoever asks from the right machine.
_NEVER = _networks(
    "0.0.0.0/8",  # "this host": Linux connects to itself
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",  # broadcast
    "::/128",  # unspecified
    "ff00::/8",  # multicast
    "169.254.169.254/32",  # metadata: AWS, Azure, Google Cloud, OpenStack, DigitalOcean
    "169.254.170.2/32",  # AWS ECS task credentials
    "169.254.170.23/32",  # AWS EKS pod identity
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure's host agent, a public address
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::254/128",  # AWS
    "fd00:ec2::23/128",  # AWS EKS pod identity
    "fd20:ce::254/128",  # Google Cloud
)
_REFUSED_IPV4 = _networks(
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # shared by carriers (CGNAT)
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays, deprecated
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "240.0.0.0/4",  # reserved
)
# All public IPv6 is global unicast; loopback, link-local, unique local, IPv4-compatible and the rest lie outside it.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED_IPV6 = _networks(
    "2001::/23",  # protocol assignments: Teredo (2001::/32), benchmarks, ORCHID
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: any IPv4 address, private ones too; out of use since RFC 7526
    "3fff::/20",  # documentation
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is really called
_MAPPED = IPv6Network("::ffff:0:0/96")  # the kernel connects to the IPv4 address


def check_address(address: IPAddress, *, allow_private_networks: Iterable[IPNetwork] = ()) -> None:
    """Raises NoUsableAddress unless the address is public or inside a network that the operator lists."""
    reached = (address, _embedded_ipv4(address))
    if any(_within(each, _NEVER) for each in reached):
        raise NoUsableAddress()
    if any(_within(each, allow_private_networks) for each in reached):
        return
    if not _is_public(reached[1]):
        raise NoUsableAddress()


def address_in(host: str) -> IPAddress | None:
    """The address that a host of a URL is by itself, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _embedded_ipv4(address: IPAddress) -> IPAddress:
    """The IPv4 address that a connection to an IPv6 address would reach, or the address itself."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _REFUSED_IPV4)
    return address in _GLOBAL_UNICAST and not _within(address, _REFUSED_IPV6)


def _within(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks)
