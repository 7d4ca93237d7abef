"""A message on its way in, with all that the router must know of it."""

from dataclasses import dataclass

from posthouse.accounts.interface import Account
from posthouse.mailstore.interface import Body
from posthouse.message.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to be kept. `trace` are header fields for every copy, put before the body."""

    envelope: Envelope
    body: Body
    trace: bytes = b""
    been: frozenset[str] = frozenset()  # Delivered-To addresses it has already, lower case
    account: Account | None = None  # who submits it
    may_relay: bool = False
    message_id: str = ""
    hold_until: int = 0  # seconds since 1970 (RFC 4865); 0: at once
    sent_copy: bool = False
    within_quota: bool = True  # not so for what this server itself has to say
    sendable: bool = False  # known to have a form in which it can go anywhere
