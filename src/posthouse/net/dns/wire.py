"""Questions and answers as octets, by dnspython: what was asked, whether this answers it, and what it says."""

import contextlib
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from posthouse.net.dns.interface import DnsError, Found, Mx, RecordType, Tlsa

UDP_OCTETS = 1232  # RFC 9715 3: what passes everywhere without fragments
MAX_TTL = 86400
MAX_NEGATIVE_TTL = 3600  # RFC 2308 5: one to three hours
MAX_RECORDS = 200


class ReplyRefusedError(Exception):
    """The server answered, but not the question: SERVFAIL, REFUSED and their like."""


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """What one response says. `alias` is where CNAMEs lead when the records themselves are not in it."""

    found: Found
    name: str
    records: tuple[object, ...]
    secure: bool
    ttl: int
    alias: str = ""


def question(name: str, kind: RecordType, ident: int, *, edns: bool = True) -> bytes:
    """A query with the DO and AD bits (RFC 3225, RFC 6840 5.7). `name` is a valid host name in ASCII."""
    query = dns.message.make_query(
        dns.name.from_text(name), dns.rdatatype.from_text(kind), use_edns=0 if edns else None, want_dnssec=edns
    )
    query.flags |= dns.flags.AD
    if edns:
        query.use_edns(0, dns.flags.DO, UDP_OCTETS)
    query.id = ident
    return query.to_wire()


def read(data: bytes, name: str, kind: RecordType, ident: int) -> dns.message.Message | None:
    """The response, if it is one to this very question; else None."""
    if len(data) < 12 or int.from_bytes(data[:2], "big") != ident:
        return None
    try:
        response: dns.message.Message | None = dns.message.from_wire(data, ignore_trailing=True)
    except Exception:  # a hostile response can make the library raise much; none of it is an answer
        response = _truncated(data)
    if response is None or not response.flags & dns.flags.QR:
        return None
    asked = response.question
    if len(asked) != 1 or asked[0].rdtype != dns.rdatatype.from_text(kind) or _text(asked[0].name) != name:
        return None
    return response


def _truncated(data: bytes) -> dns.message.Message | None:
    """A response cut short may not be readable to its end; its flags and question are."""
    with contextlib.suppress(Exception):
        return dns.message.from_wire(data, question_only=True)
    return None


def understand(response: dns.message.Message, name: str, kind: RecordType) -> ParsedResponse:
    """What it says. Raises ReplyRefusedError, DnsError."""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ReplyRefusedError(dns.rcode.to_text(code))
    secure = bool(response.flags & dns.flags.AD)
    at, ttl = _follow(response, name, kind)
    wanted = dns.rdatatype.from_text(kind)
    for rrset in response.answer:
        if rrset.rdtype == wanted and _text(rrset.name) == at:
            records = tuple(_record(each, kind) for each in list(rrset)[:MAX_RECORDS])
            return ParsedResponse(Found.RECORDS, at, records, secure, min(ttl, rrset.ttl, MAX_TTL))
    if code == dns.rcode.NXDOMAIN:
        return ParsedResponse(Found.NO_NAME, at, (), secure, min(ttl, _negative_ttl(response)))
    if at != name and not any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority):
        return ParsedResponse(Found.NO_DATA, at, (), secure, min(ttl, MAX_TTL), alias=at)  # the rest must be asked for
    return ParsedResponse(Found.NO_DATA, at, (), secure, min(ttl, _negative_ttl(response)))


def _follow(response: dns.message.Message, name: str, kind: RecordType) -> tuple[str, int]:
    """The end of the CNAMEs in the answer, and the shortest time to live on the way."""
    at, ttl = name, MAX_TTL
    if kind is RecordType.CNAME:
        return at, ttl
    aliases = {_text(rrset.name): rrset for rrset in response.answer if rrset.rdtype == dns.rdatatype.CNAME}
    seen = {at}
    while (rrset := aliases.get(at)) is not None:
        at, ttl = _text(rrset[0].target), min(ttl, rrset.ttl)
        if at in seen:
            raise DnsError(f"{name}: its CNAMEs go round in circles")
        seen.add(at)
    return at, ttl


def _negative_ttl(response: dns.message.Message) -> int:
    """RFC 2308 5: the smaller of the SOA's own time and its minimum field."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return int(min(rrset.ttl, rrset[0].minimum, MAX_NEGATIVE_TTL))
    return 60


def _record(record: object, kind: RecordType) -> object:
    each: Any = record  # dnspython has a class for each kind
    match kind:
        case RecordType.MX:
            return Mx(each.preference, _text(each.exchange))
        case RecordType.TXT:
            return b"".join(each.strings)
        case RecordType.TLSA:
            return Tlsa(each.usage, each.selector, each.mtype, each.cert)
        case RecordType.CNAME | RecordType.PTR:
            return _text(each.target)
    return str(each.address)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""
