"""The transaction state: the maildrop, its listings, and the messages on their way out (RFC 1939 5)."""

from collections.abc import Callable, Mapping

from posthouse.protocol.pop3 import replies
from posthouse.protocol.pop3.events import MessageWanted, QuitOffered
from posthouse.protocol.pop3.login import Login
from posthouse.protocol.pop3.settings import Pop3Settings
from posthouse.protocol.pop3.states import State
from posthouse.protocol.stuffing import Stuffing

_MAX_DIGITS = 20  # of a number; no maildrop holds as many messages, no message as many lines


class Transaction(Login):
    """The part of the engine that works on the maildrop. RETR, TOP and QUIT are offered, all else is answered here."""

    __slots__ = ("_stuffing", "_top")

    def __init__(
        self, settings: Pop3Settings, *, secure: bool, bindings: Mapping[str, bytes], nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings, secure=secure, bindings=bindings, nonce=nonce)
        self._stuffing: Stuffing | None = None  # of the message under way
        self._top: int | None = None  # how many lines of its body TOP wants

    # Answers of the session.

    def begin_message(self, octets: int, has_leading_dots: bool, no_final_crlf: bool) -> None:
        """Answer to MessageWanted; send_chunk and end_message follow.

        `octets`: what LIST says. `dot_lines`: some line starts with a dot. `open_end`: it does not end with CRLF, which
        is added and is among `octets`.
        """
        if self._offered(MessageWanted):
            self._say(b"+OK %d octets\r\n" % octets)
            self._stuffing = Stuffing(has_leading_dots, no_final_crlf, self._top)
            self._unfinished = True

    def send_chunk(self, data: bytes) -> bool:
        """The next octets of the message; False when TOP has enough, or the connection has ended."""
        stuffing = self._stuffing
        if stuffing is None or self.closing:
            return self._out_of_turn("send_chunk")
        self._say(stuffing.feed(data))
        return not stuffing.done

    def end_message(self) -> None:
        """The message is whole."""
        stuffing = self._stuffing
        if stuffing is None or self.closing:
            self._out_of_turn("end_message")
            return
        self._say(stuffing.end())
        self._stuffing, self._offer, self._unfinished = None, None, False

    def accept_quit(self) -> None:
        """Answer to QuitOffered: the deletions are durable."""
        if self._answered(QuitOffered):
            self._end("quit", replies.GOODBYE)

    def reject(self, code: str, text: str) -> None:
        """Refuse a message that has not begun, or say that the deletions of QUIT were not made."""
        if self._unfinished:
            raise RuntimeError("a message that has begun cannot be refused")
        quitting = self._offer is QuitOffered
        if self._answered(MessageWanted, QuitOffered):
            self._say(replies.err(text, code))
            if quitting:
                self._end("quit, but some deletions were not made")  # RFC 1939 6

    # Commands.

    def _do_stat(self, argument: bytes) -> None:
        self._say(b"+OK %d %d\r\n" % (self._maildrop.count, self._maildrop.octets))

    def _do_list(self, argument: bytes) -> None:
        drop = self._maildrop
        if not argument:
            self._list(b"+OK %d messages, %d octets\r\n" % (drop.count, drop.octets), drop.sizes())
        elif (number := self._message(argument)) is not None:
            self._say(b"+OK %d %d\r\n" % (number, drop.octets_of(number)))

    def _do_uidl(self, argument: bytes) -> None:
        drop = self._maildrop
        if not argument:
            self._list(b"+OK %d messages, unique ids\r\n" % drop.count, drop.uidls())
        elif (number := self._message(argument)) is not None:
            self._say(replies.ok(f"{number} {drop.uidl_of(number)}"))

    def _do_dele(self, argument: bytes) -> None:
        if (number := self._message(argument)) is not None:
            self._maildrop.delete(number)
            self._say(b"+OK message %d will be deleted at QUIT\r\n" % number)

    def _do_noop(self, argument: bytes) -> None:
        self._say(replies.STILL_HERE)

    def _do_rset(self, argument: bytes) -> None:
        self._maildrop.restore()
        self._say_contents()

    def _do_retr(self, argument: bytes) -> None:
        if (number := self._message(argument)) is not None:
            self._top = None
            self._offer_up(MessageWanted(number))

    def _do_top(self, argument: bytes) -> None:
        first, _, second = argument.partition(b" ")
        lines = _number(second.lstrip(b" "))
        if lines is None:
            self._error(replies.BAD_TOP)
        elif (number := self._message(first)) is not None:
            self._top = lines
            self._offer_up(MessageWanted(number, lines))

    def _do_quit(self, argument: bytes) -> None:
        if self._state is State.TRANSACTION:
            self._state = State.UPDATE
            self._offer_up(QuitOffered(tuple(sorted(self._maildrop.deleted))))
        else:
            self._end("quit", replies.GOODBYE)

    def _message(self, argument: bytes) -> int | None:
        """The number of a message that is there and not marked deleted. Otherwise None, and the error is said."""
        number = _number(argument)
        if number is None or not self._maildrop.holds(number):
            self._error(replies.NO_MESSAGE)
        elif number in self._maildrop.deleted:
            self._error(replies.MARKED_DELETED)
        else:
            return number
        return None

    def _out_of_turn(self, answer: str) -> bool:
        if not self.closing:
            raise RuntimeError(f"{answer} without begin_message")
        return False


def _number(text: bytes) -> int | None:
    """A decimal number (RFC 1939 3); None when it is none. Some clients write zeros in front."""
    if not text.isdigit():
        return None
    digits = text.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MAX_DIGITS else None
