"""The worker of `posthouse dev`: any sender, any recipient, any login."""

from collections.abc import Sequence
from dataclasses import replace

from posthouse.accounts.interface import Directory
from posthouse.accounts.sqlite import SqliteDirectory
from posthouse.app.config.services import Service
from posthouse.app.dev.accounts import DOMAIN
from posthouse.app.dev.addresses import AddressFile
from posthouse.app.dev.catch_all import CatchAllDirectory
from posthouse.app.process.listening import BoundService
from posthouse.app.process.worker import Worker
from posthouse.delivery.inbound.submission import Submission
from posthouse.message.trace import Tracer
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.settings import Pop3Settings
from posthouse.protocol.smtp.settings import SmtpSettings, Variant
from posthouse.queue.history import Delivery
from posthouse.queue.sqlite.history import SqliteHistory


class DeduplicatingHistory(SqliteHistory):
    """A message has two copies under one address, that of the address and that of "all": they are one delivery."""

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """See History."""
        super().add(list(dict.fromkeys(deliveries)))


class CatchAllWorker(Worker):
    """A worker that takes any mail, and changes nothing of it."""

    _history_kind = DeduplicatingHistory

    def _choose_directory(self, accounts: SqliteDirectory) -> Directory:
        return CatchAllDirectory(accounts, DOMAIN, AddressFile(self._config.paths.dev_addresses).note)

    def _build_submission(self, tracer: Tracer) -> Submission | None:
        return None

    def _smtp_settings(self, place: BoundService) -> SmtpSettings:
        usual = super()._smtp_settings(place)
        if usual.variant is Variant.LMTP:
            return usual
        # Port 25's stand-in has no STARTTLS: clients that take it whenever it is offered (nodemailer) would then
        # refuse the certificate. Who asks for TLS has a port with it.
        starttls = usual.starttls and place.service is not Service.SMTP
        return replace(usual, variant=Variant.RELAY, auth=True, scram=False, starttls=starttls)

    def _pop3_settings(self, place: BoundService) -> Pop3Settings:
        return replace(super()._pop3_settings(place), scram=False)

    def _imap_settings(self, place: BoundService) -> ImapSettings:
        return replace(super()._imap_settings(place), scram=False)
