"""IP addresses as texts, in one form everywhere: so that counting, throttling and trust mean the same client.

An IPv4 address has many spellings as an IPv6 address is written; a socket for both families, and a proxy with one, say
::ffff:192.0.2.1 (RFC 4291 2.5.5.2). It is 192.0.2.1, wherever it comes from.
"""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_CUSTOMER = 64  # bits of the network that one customer holds whole


def canonical_ip(text: str) -> str:
    """The one form of an address, "192.0.2.1" or "2001:db8::1"; a zone ("%eth0") stays. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def canonical_network(text: str) -> Network:
    """A network as "10.0.0.0/8"; one of mapped addresses is the IPv4 network it stands for. Raises ValueError."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def customer_network(ip: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 of an IPv6 address. What is no address ("") is as it is."""
    if ":" not in ip:
        return ip
    try:
        address = canonical_ip(ip.partition("%")[0])
    except ValueError:
        return ip
    return str(IPv6Network((address, _CUSTOMER), strict=False)) if ":" in address else address
