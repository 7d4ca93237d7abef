"""Whether a certificate chain leads to a trusted authority and is for the host that was meant (RFC 5280, RFC 6125)."""

import hashlib
import ssl
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
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

MAX_CHAIN = 10
_KEPT = 10_000
_KEPT_SECONDS = 3600.0


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
        self._known: dict[bytes, tuple[float, str]] = {}

    def error(self, chain: Sequence[bytes], host: str) -> str:
        """Why the chain (DER, the host's own first) does not prove that this is `host`; "" when it does."""
        key = hashlib.sha256(b"\0".join((host.encode(), *chain))).digest()
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        found = self._look(chain, host)
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[key] = (now + _KEPT_SECONDS, found)
        return found

    def _look(self, chain: Sequence[bytes], host: str) -> str:
        if not chain:
            return "it shows no certificate"
        try:
            own, *others = [x509.load_der_x509_certificate(each) for each in chain[:MAX_CHAIN]]
            if own.not_valid_after_utc < datetime.now(UTC):
                return f"its certificate expired on {own.not_valid_after_utc:%Y-%m-%d}"
            builder = PolicyBuilder().store(self._loaded()).time(datetime.now(UTC))
            builder = builder.extension_policies(ee_policy=_LEAF, ca_policy=ExtensionPolicy.webpki_defaults_ca())
            builder.build_server_verifier(x509.DNSName(host)).verify(own, others)
        except VerificationError as error:
            return f"its certificate is not valid for {host}: {str(error).splitlines()[0][:200]}"
        except (ValueError, UnsupportedAlgorithm) as error:
            return f"its certificate cannot be read: {str(error)[:200]}"
        except OSError as error:
            return f"the trusted authorities cannot be read: {error.strerror}"
        return ""

    def _loaded(self) -> Store:
        if self._store is None:
            path = self._file or Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an old root with an odd serial number is the system's matter
                self._store = Store(x509.load_pem_x509_certificates(path.read_bytes()))
        return self._store
