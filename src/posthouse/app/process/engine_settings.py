"""What the engines of each service are told: from the settings, and from the place where the service listens."""

import time

from posthouse import __version__
from posthouse.app.config.services import Service
from posthouse.app.process.listening import BoundService
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.server import Pop3Settings
from posthouse.protocol.smtp.server import SmtpSettings, Variant
from posthouse.protocol.smtp.settings import MAX_HOLD

_FULL_SMTP = b"421 4.7.0 Too many connections, try again later\r\n"
_FULL_POP3 = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"
_FULL_IMAP = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"
_FULL = {
    Service.POP3: _FULL_POP3,
    Service.POP3S: _FULL_POP3,
    Service.IMAP: _FULL_IMAP,
    Service.IMAPS: _FULL_IMAP,
}

_VARIANTS = {
    Service.SMTP: Variant.RELAY,
    Service.SUBMISSION: Variant.SUBMISSION,
    Service.SUBMISSIONS: Variant.SUBMISSION,
    Service.LMTP: Variant.LMTP,
}


def _latest_release() -> str:
    """RFC 4865 3: until when a message may be held."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + MAX_HOLD))


def smtp_settings(config: WorkerConfig, place: BoundService, *, sends: bool) -> SmtpSettings:
    """For an engine of SMTP or LMTP. `sends`: this server sends mail out, and so may hold it."""
    settings = config.settings
    variant = _VARIANTS[place.service]
    return SmtpSettings(
        hostname=config.hostname,
        variant=variant,
        max_size=settings.smtp.max_size,
        max_recipients=settings.smtp.max_recipients,
        max_unknown=settings.limits.unknown_recipients,
        starttls=not place.endpoint.path,
        auth=variant is Variant.SUBMISSION,
        plaintext_auth=_allows_plaintext(config, place),
        in_turn=variant is not Variant.LMTP,
        hold_until=_latest_release if variant is Variant.SUBMISSION and sends else None,
    )


def pop3_settings(config: WorkerConfig, place: BoundService) -> Pop3Settings:
    """For an engine of POP3."""
    return Pop3Settings(config.hostname, plaintext_auth=_allows_plaintext(config, place))


def imap_settings(config: WorkerConfig, place: BoundService) -> ImapSettings:
    """For an engine of IMAP."""
    return ImapSettings(
        config.hostname,
        version=__version__,
        starttls=not place.endpoint.path,
        plaintext_auth=_allows_plaintext(config, place),
        append_limit=config.settings.smtp.max_size,
    )


def full_reply(service: Service) -> bytes:
    """What a client reads when no more connections are taken."""
    return _FULL.get(service, _FULL_SMTP)


def _allows_plaintext(config: WorkerConfig, place: BoundService) -> bool:
    return config.settings.login.plain_on_loopback and _is_loopback(place)


def _is_loopback(place: BoundService) -> bool:
    host = place.endpoint.host
    return bool(place.endpoint.path) or host == "::1" or host.startswith("127.")
