"""Whether a certificate chain leads to a trusted authority and is for the host that was meant (RFC 5280, RFC 6125)."""

import hashlib
import ssl
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from posthouse.message.printable import one_line

MAX_CHAIN = 10
_KEPT = 10_000
_KEPT_SECONDS = 3600.0
_UNREADABLE = (  # all that a hostile certificate can lead to, but for what is said of it
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Flaw(str):
    """Why a chain proves nothing; "" when it proves what it should. `result` is its kind (RFC 8460 4.3)."""

    result: str

    def __new__(cls, text: str = "", result: str = "") -> "Flaw":  # noqa: D102
        made = super().__new__(cls, text)
        made.result = result
        return made


def _for_servers(_policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(
        usage
    ):
        raise ValueError("it is not for servers")


# RFC 5280 4.2.1.6 and 4.2.1.12 leave it to the issuer whether these are critical; the library's default does not.
_LEAF = (
    ExtensionPolicy.webpki_defaults_ee()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_servers)
)


class Authorities:
    """The certificates that are trusted: those of a PEM file, or the system's. Read when first needed."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._store: Store | None = None
        self._known: dict[bytes, tuple[float, Flaw]] = {}

    def error(self, chain: Sequence[bytes], host: str) -> Flaw:
        """Why the chain (DER, the host's own first) does not prove that this is `host`; "" when it does."""
        key = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in (host.encode(), *chain))).digest()
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        try:
            store = self._loaded()
        except (OSError, ValueError) as error:  # not kept: the file may be corrected
            return Flaw(f"the trusted authorities cannot be read: {error}", "validation-failure")
        found = _look(store, chain, host)
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[key] = (now + _KEPT_SECONDS, found)
        return found

    def _loaded(self) -> Store:
        if self._store is None:
            path = self._file or Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an old root with an odd serial number is the system's matter
                self._store = Store(x509.load_pem_x509_certificates(path.read_bytes()))
        return self._store


def _look(store: Store, chain: Sequence[bytes], host: str) -> Flaw:
    if not chain:
        return Flaw("it shows no certificate", "certificate-not-trusted")
    now = datetime.now(UTC)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd certificate is the peer's matter
            own, *others = [x509.load_der_x509_certificate(each) for each in chain[:MAX_CHAIN]]
        if own.not_valid_after_utc < now:
            return Flaw(f"its certificate expired on {own.not_valid_after_utc:%Y-%m-%d}", "certificate-expired")
        if not _is_for(own, host):
            return Flaw(f"its certificate is not for {host}", "certificate-host-mismatch")
        builder = PolicyBuilder().store(store).time(now)
        builder = builder.extension_policies(ee_policy=_LEAF, ca_policy=ExtensionPolicy.webpki_defaults_ca())
        builder.build_server_verifier(_subject(host)).verify(own, others)
    except VerificationError as error:
        return Flaw(f"its certificate is not valid for {host}: {_printable(error)}", "certificate-not-trusted")
    except _UNREADABLE as error:
        return Flaw(f"its certificate cannot be read: {_printable(error)}", "validation-failure")
    return Flaw()


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether it names the host at all, for the reason to be exact; the verifier looks for itself (RFC 6125 6.4)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    subject = _subject(host)
    if isinstance(subject, x509.IPAddress):
        return subject.value in names.get_values_for_type(x509.IPAddress)
    host = host.lower()
    dns_names = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return host in dns_names or "*." + host.partition(".")[2] in dns_names


def _subject(host: str) -> x509.DNSName | x509.IPAddress:
    """A route may name a host by its address."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _printable(error: Exception) -> str:
    """It quotes names of the certificate, and it goes into logs and bounces."""
    return one_line(str(error)[:200], instead=" ")
