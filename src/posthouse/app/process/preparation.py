"""What is done once before the workers of a server start."""

import time
from contextlib import closing

from posthouse.accounts.sqlite.verified_passwords import keep_rows_of
from posthouse.accounts.sqlite.volatile import check_volatile, open_volatile
from posthouse.app.data_folder.starting import begin
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.database.errors import DatabaseError
from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.delivery.outbound.routes import LOCAL
from posthouse.mailstore.index import prepare as prepare_index
from posthouse.mailstore.socket_bus import clear_bus
from posthouse.message.address import Address
from posthouse.queue.sqlite.outgoing import boot_id, end_claims, reroute


def prepare(config: WorkerConfig) -> None:
    """Bring the databases up to date and end the holds of the server that ran before.

    Under the server lock, before any worker starts; nothing stays open, so that forking is safe afterwards.
    """
    begin(config.paths, config.log)
    check_volatile(config.paths.volatile)
    with closing(open_volatile(config.paths.volatile)) as volatile:
        keep_rows_of(volatile, config.login_key, time.time())
    leases = SqliteLeases(config.paths.leases)
    leases.void_all()
    leases.close()
    end_claims(config.paths.mail, boot_id())
    _reroute(config)
    prepare_index(config.paths.index)
    clear_bus(config.paths.bus)


def _reroute(config: WorkerConfig) -> None:
    """What was queued before takes the current routes: a running server's never change."""
    if not config.settings.outgoing.enabled:  # nothing is sent: the next start that sends does it
        return
    from posthouse.app.outgoing import build_routes  # all that sending needs, once for all workers that are forked

    routes = build_routes(config.settings)

    def choose(recipient: Address, sender: Address | None, before: str) -> str:
        return before if before == LOCAL else routes.destination(recipient, sender)

    try:
        changed = reroute(config.paths.mail, choose)
    except DatabaseError as error:  # the disk is full: mail must be read and deleted all the same
        config.log.warning("mail that was queued before keeps its old routes", reason=error)
        return
    if changed:
        config.log.info("queued mail takes other routes than before", recipients=changed)
