"""The states of the SMTP client engine and its transitions: the whole conversation.

What a caller may do when:

    state       entered by                          the caller may
    GREETING    the connection                      wait for Ready or Refused
    HELLO       220; tls_started(); a login         wait for Ready or Refused
    READY       Ready                               start_tls(), login(), transact(), quit()
    TLS         start_tls()                         wait for TlsGranted, then tls_started(); or TlsRefused (READY)
    LOGIN       login()                             wait for Ready or LoginRefused
    ENVELOPE    transact()                          wait for ContentWanted or Finished
    CONTENT     ContentWanted                       send_content() and end_content(), or abandon()
    ENDING      end_content(); a refused envelope   wait for Finished (READY)
    CLOSED      quit(), Broken, Refused             nothing
"""

from enum import Enum, auto


class SmtpClientState(Enum):
    """Where the conversation stands."""

    GREETING = auto()
    HELLO = auto()
    READY = auto()
    TLS = auto()
    LOGIN = auto()
    ENVELOPE = auto()
    CONTENT = auto()
    ENDING = auto()
    CLOSED = auto()
