"""The events of a POP3 server engine, beside the shared ones.

Answers of Pop3Server:
- to a login offer: accept_login(drop) with the maildrop, or refuse_login(code, text) where `code` is a
  response code such as "IN-USE", "LOGIN-DELAY", "SYS/TEMP", "AUTH" (RFC 2449 8, RFC 3206), or "" for none;
- to KeysWanted: provide_keys(ScramKeys), refuse_login(code, text);
- to MessageWanted: begin_message(octets, has_leading_dots, no_final_crlf), then send_chunk(bytes) -> bool any number of
  times (False: enough, for TOP), then end_message(); or reject(code, text);
- to QuitOffered: accept_quit() once the deletions are durable, or reject(code, text).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MaildropContents:
    """A maildrop as it was at login: message n (from 1) has octets[n-1] octets and the unique id uidls[n-1]."""

    octets: Sequence[int]
    uidls: Sequence[str]


@dataclass(frozen=True, slots=True)
class MessageWanted:
    """Offer: RETR, or TOP with `lines` of body. `number` counts from 1 and is not marked deleted."""

    number: int
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class QuitOffered:
    """Offer: QUIT in the transaction state: make these deletions durable (RFC 1939 6)."""

    deleted: Sequence[int]
