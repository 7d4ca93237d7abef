"""What sessions need of the rooms below, in one place."""

from collections.abc import Callable
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.interface import Directory
from posthouse.database.leases import Leases
from posthouse.delivery.inbound.pipeline import Incoming
from posthouse.mailstore.interface import Mailstore
from posthouse.sessions.open_sessions import OpenSessions


@dataclass(frozen=True, slots=True)
class Services:
    """Built once per worker by app."""

    directory: Directory
    mailstore: Mailstore
    leases: Leases
    incoming: Incoming
    new_id: Callable[[], bytes]
    nonce: Callable[[], str]
    log: FilteringBoundLogger
    guess_delay: float = 2.0  # seconds that the answer to a guessed recipient is held back, once there are many
    open_sessions: OpenSessions = field(default_factory=OpenSessions)
    trusts: Callable[[str], bool] = lambda _ip: False  # whether a peer at this address may relay without a login
    allows_bare_lf: Callable[[str], bool] = lambda _ip: False  # whether its lines may end with LF alone
