"""Which addresses may be connected to when somebody else has chosen them, by DNS or in a document."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")  # a NAT64 of one's own network
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1
_BROADCAST = IPv4Address("255.255.255.255")
_TEREDO = IPv6Network("2001::/32")  # Teredo: the IPv4 address in it is anybody's


def may_reach(address: str, *, private: bool, loopback: bool = False) -> bool:
    """Whether to connect there. `private`: networks of one's own are allowed (10.0.0.0/8, fd00::/8 and the like).

    Link-local addresses, where cloud machines find their secrets, are never allowed; nor is this machine itself.
    """
    ip = _innermost(address)
    if ip.is_loopback:
        return loopback
    if ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip == _BROADCAST:
        return False
    if isinstance(ip, IPv6Address) and (ip in _TEREDO or ip in _COMPATIBLE):
        return False
    local = isinstance(ip, IPv6Address) and (ip.is_site_local or ip in _NAT64_LOCAL)
    return (local and private) or (not local and not ip.is_reserved and (private or ip.is_global))


def _innermost(address: str) -> IPv4Address | IPv6Address:
    """Where a packet ends up that is sent there: IPv6 has several ways to say an IPv4 address."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
