"""Certificates for remotes: good ones for localhost, and one that has expired."""

import datetime
import ssl
from pathlib import Path

import trustme


class Certificates:
    """One authority; `roots` is its PEM file, made in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.roots = folder / "roots.pem"
        self._authority.cert_pem.write_to_path(str(self.roots))

    def good(self) -> ssl.SSLContext:
        """A server's TLS that proves to be localhost."""
        return _context(self._authority.issue_cert("localhost", "127.0.0.1"))

    def expired(self) -> ssl.SSLContext:
        """The same, a day too late."""
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        leaf = self._authority.issue_cert("localhost", not_before=now - 30 * day, not_after=now - day)
        return _context(leaf)


def _context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context
