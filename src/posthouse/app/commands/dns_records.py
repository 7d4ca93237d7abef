"""What a domain's zone must say so that its mail comes in, goes out believed, and programs set themselves up."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from posthouse.app.commands.dns_routes import SpfTerm
from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.keys import public_record

TTL = 3600  # seconds
_STRING = 255  # octets of one string of a TXT record


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record. `value` is what a DNS provider's form takes: the bare text of a TXT, otherwise the zone's form."""

    name: str  # absolute, A-labels, without the last dot
    type: str
    value: str
    purpose: str
    needed: bool = False

    def zone_line(self) -> str:
        """The record as a line of a zone file (RFC 1035 5.1), with the purpose above it."""
        value = _quoted(self.value) if self.type == "TXT" else self.value
        optional = "" if self.needed else "Optional. "
        return f"; {optional}{self.purpose}\n{self.name}. {TTL} IN {self.type} {value}"


def records(
    domain: str,
    hostname: str,
    keys: Sequence[SigningKey],
    ports: Mapping[str, int | None],
    spf: Sequence[SpfTerm] = (),
    *,
    hello: str = "",
    host_spf: Sequence[SpfTerm] = (),
) -> Iterator[DnsRecord]:
    """Every record of `domain`, mail for which comes to `hostname`; both in A-labels. The needed ones come first.

    `spf`: who else sends its mail. `hello`: what the server calls itself to others, in A-labels, if its SPF record is
    the domain's matter; `host_spf`: further addresses it sends from. `ports`: of submission, submissions, pop3, pop3s,
    imap and imaps; None: not offered.
    """
    yield from _mail(domain, hostname, keys, spf)
    if hello and hello != domain:  # else the domain's record is the host's as well
        yield _host_spf(hello, host_spf)
    yield from _transport(domain, hostname)
    for service, port in ports.items():
        yield _service(domain, hostname, service, port)
    yield from _set_up(domain, hostname)


def _mail(domain: str, hostname: str, keys: Sequence[SigningKey], spf: Sequence[SpfTerm]) -> Iterator[DnsRecord]:
    yield DnsRecord(domain, "MX", f"10 {hostname}.", "Mail for the domain comes to this server.", needed=True)
    yield _spf(domain, spf)
    for key in keys:
        kind = "RSA" if key.algorithm.startswith("rsa") else "Ed25519"
        name = f"{key.selector}._domainkey.{domain}"
        yield DnsRecord(
            name, "TXT", public_record(key), f"DKIM: the {kind} key that outgoing mail is signed with.", True
        )
    # All mail of a new domain leaves by this server, signed, so forgeries can be set aside from the first day.
    yield DnsRecord(
        f"_dmarc.{domain}",
        "TXT",
        f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}",
        "DMARC: mail that is neither of SPF nor DKIM is suspect; reports go to postmaster."
        " Begin with p=none if other servers still send for the domain.",
        needed=True,
    )


def _spf(domain: str, terms: Sequence[SpfTerm]) -> DnsRecord:
    """RFC 7208: who may send the domain's mail."""
    text, purpose = "v=spf1 mx -all", "SPF: only the server named by MX sends mail for the domain."
    if terms:
        hosts = ", ".join(dict.fromkeys(term.host for term in terms))
        purpose = f"SPF: the server named by MX and, by your routes, {hosts} send mail for the domain."
        unsure = [term for term in terms if not term.sure]
        if unsure:
            named = ", ".join(term.text for term in unsure)
            purpose += (
                f" {named} stands for what the provider calls its own SPF record: ask it, write include:NAME instead,"
                " then -all."
            )
        # Nothing of ours is to be refused on a guess.
        text = " ".join(["v=spf1 mx", *(term.text for term in terms), "~all" if unsure else "-all"])
    return DnsRecord(domain, "TXT", text, purpose, needed=True)


def _host_spf(hello: str, terms: Sequence[SpfTerm]) -> DnsRecord:
    """RFC 7208 2.4: a report has no sender, so the name in EHLO is what is looked at."""
    text = " ".join(["v=spf1 a", *(term.text for term in terms), "-all"])
    return DnsRecord(hello, "TXT", text, "SPF: reports of the server itself come from this host.", needed=True)


def _transport(domain: str, hostname: str) -> Iterator[DnsRecord]:
    """Demand that mail comes in under TLS, and hear where that failed."""
    yield DnsRecord(
        f"_mta-sts.{domain}",
        "TXT",
        f"v=STSv1; id={_policy_id(hostname)}",
        f"MTA-STS: mail comes in under TLS only. Needs a web server that gives"
        f" https://mta-sts.{domain}/.well-known/mta-sts.txt.",
    )
    yield from _alias(f"mta-sts.{domain}", hostname, "MTA-STS: the host of the policy, if this server gives it.")
    yield DnsRecord(
        f"_smtp._tls.{domain}",
        "TXT",
        f"v=TLSRPTv1; rua=mailto:postmaster@{domain}",
        "TLSRPT: other servers report where TLS failed.",
    )


def _service(domain: str, hostname: str, service: str, port: int | None) -> DnsRecord:
    """RFC 6186 3.1, RFC 8314 5.1: where mail programs find a service."""
    name = f"_{service}._tcp.{domain}"
    if port is None:
        return DnsRecord(name, "SRV", "0 0 0 .", f"Mail programs learn that {service} is not offered.")
    priority = 0 if service.endswith("s") else 10  # RFC 8314 3: TLS from the start is preferred
    return DnsRecord(name, "SRV", f"{priority} 1 {port} {hostname}.", f"Mail programs find {service}.")


def _set_up(domain: str, hostname: str) -> Iterator[DnsRecord]:
    yield from _alias(f"autoconfig.{domain}", hostname, "Thunderbird and its kin look here for their settings.")
    yield from _alias(f"autodiscover.{domain}", hostname, "Outlook looks here for its settings.")


def _alias(name: str, hostname: str, purpose: str) -> Iterator[DnsRecord]:
    if name != hostname:
        yield DnsRecord(name, "CNAME", f"{hostname}.", purpose)


def _policy_id(hostname: str) -> str:
    """Changes exactly when the policy does (RFC 8461 3.1): the policy names but the host."""
    return hashlib.sha256(hostname.encode()).hexdigest()[:20]


def _quoted(text: str) -> str:
    """Text as the strings of a TXT record: each of at most 255 octets, quoted."""
    escaped = [character if character not in '"\\' else f"\\{character}" for character in text]
    strings = ("".join(escaped[at : at + _STRING]) for at in range(0, len(escaped), _STRING))
    return " ".join(f'"{string}"' for string in strings)
