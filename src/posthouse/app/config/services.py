"""Which services there are, on which ports by custom, and where the configuration wants them."""

from dataclasses import dataclass
from enum import StrEnum

from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.settings import Settings


class Service(StrEnum):
    """A way in. The values are the names in output and logs."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"
    LMTP = "lmtp"
    POP3 = "pop3"
    POP3S = "pop3s"
    IMAP = "imap"
    IMAPS = "imaps"

    @property
    def standard_port(self) -> int:
        """Where clients look for it. (LMTP has no port by RFC 2033; 24 is the custom.)"""
        return _PORTS[self]

    @property
    def is_tls(self) -> bool:
        """Whether TLS comes first (RFC 8314), instead of by a command."""
        return self in (Service.SUBMISSIONS, Service.POP3S, Service.IMAPS)


_PORTS = {
    Service.SMTP: 25,
    Service.SUBMISSION: 587,
    Service.SUBMISSIONS: 465,
    Service.LMTP: 24,
    Service.POP3: 110,
    Service.POP3S: 995,
    Service.IMAP: 143,
    Service.IMAPS: 993,
}


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """A service and a place where it is to listen; `key` is the setting that says so."""

    service: Service
    endpoint: Endpoint
    key: str


def listen_requests(settings: Settings) -> list[ListenRequest]:
    """Every place the configuration names."""
    configured = (
        (Service.SMTP, settings.smtp.listen, "smtp.listen"),
        (Service.SUBMISSION, settings.submission.listen, "submission.listen"),
        (Service.SUBMISSIONS, settings.submission.listen_tls, "submission.listen_tls"),
        (Service.LMTP, settings.lmtp.listen, "lmtp.listen"),
        (Service.POP3, settings.pop3.listen, "pop3.listen"),
        (Service.POP3S, settings.pop3.listen_tls, "pop3.listen_tls"),
        (Service.IMAP, settings.imap.listen, "imap.listen"),
        (Service.IMAPS, settings.imap.listen_tls, "imap.listen_tls"),
    )
    return [ListenRequest(service, endpoint, key) for service, endpoints, key in configured for endpoint in endpoints]
