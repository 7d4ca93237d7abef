"""A server for the SMTP client engine: what it has decided is known, and one of its replies may go wrong."""

import re
from dataclasses import dataclass, field
from enum import Enum

SUCCESS = {
    "GREETING": {220},
    "EHLO": {250},
    "MAIL": {250},
    "RCPT": {250, 251, 252},
    "DATA": {354},
    "BDAT": {250},
    "END": {250},
    "RSET": {250},
    "OTHER": set[int](),
}


class Fault(Enum):
    """What happens to one reply on its way."""

    NONE = "none"
    DROP = "it never comes"
    DOUBLE = "it comes twice"
    LATE = "it comes, and once more together with the next one"
    EARLY = "the next one comes along with it, before its command"
    SWAP = "it changes places with the next one of its burst; not two refusals, between which nobody could tell"
    CODE = "it has a 2yz or 3yz code that means nothing there"
    GARBAGE = "what is no reply follows"
    EXTRA_REFUSAL = "a refusal of nothing follows"
    EXTRA_SUCCESS = "a success of nothing follows"
    HANG_UP = "the server hangs up behind it"


@dataclass
class Script:
    """What the server makes of one message. `recipients`: the code of each; `fault` strikes reply number `at`."""

    recipients: list[int]
    mail: int = 250
    data: int = 354
    end: int = 250
    chunk: int = 250
    extensions: tuple[str, ...] = ()
    fault: Fault = Fault.NONE
    at: int = 0
    code: int = 200


@dataclass
class Server:
    """Takes octets of the client, gives replies. `taken`, `refused`: recipients, by number; `messages`: contents."""

    script: Script
    taken: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    messages: list[bytes] = field(default_factory=list)
    hit: str = ""  # what the reply was for that the fault struck
    hung_up: bool = False

    def __post_init__(self) -> None:
        self._in = b""
        self._burst: list[tuple[str, int, str]] = []
        self._count = 0
        self._held = b""  # comes with the next reply
        self._ahead = 0  # replies given before their commands
        self._sender = False
        self._rcpts: list[int] = []
        self._content = b""
        self._reading = False
        self._failed = False
        self._say("GREETING", 220, "mx.test ESMTP")

    def receive(self, data: bytes) -> None:
        if self.hung_up:
            return
        self._in += data
        while self._step():
            pass

    def replies(self) -> bytes:
        """What goes out now, with the fault in it."""
        burst, self._burst = self._burst, []
        out = b""
        at = 0
        while at < len(burst):
            struck = self._count == self.script.at and not self.hung_up
            follower = burst[at + 1] if at + 1 < len(burst) else None
            out += self._struck(burst[at], follower, struck)
            if struck and self._swaps(burst[at], follower):
                at += 1
                self._count += 1
            at += 1
            self._count += 1
        return out

    def _struck(self, reply: tuple[str, int, str], follower: tuple[str, int, str] | None, struck: bool) -> bytes:
        if self.hung_up:
            return b""
        if self._ahead:
            self._ahead -= 1
            return b""
        wire, held = self._wire(reply), self._held
        self._held = b""
        if not struck:
            return held + wire
        fault, verb = self.script.fault, reply[0]
        self.hit = verb if fault is not Fault.NONE else ""
        match fault:
            case Fault.DROP:
                return b""
            case Fault.DOUBLE:
                return wire * 2
            case Fault.LATE:
                self._held = wire
            case Fault.EARLY if follower is None:
                self._ahead = 1
                return wire + b"250 2.0.0 ahead\r\n"
            case Fault.SWAP if follower is not None and self._swaps(reply, follower):
                return self._wire(follower) + wire
            case Fault.CODE if self.script.code not in SUCCESS[verb]:
                return b"%d what\r\n" % self.script.code
            case Fault.GARBAGE:
                return wire + b"what a nice day\r\n"
            case Fault.EXTRA_REFUSAL:
                return wire + b"550 5.0.0 no\r\n"
            case Fault.EXTRA_SUCCESS:
                return wire + b"250 2.0.0 yes\r\n"
            case Fault.HANG_UP:
                self.hung_up = True
        return wire

    def _swaps(self, reply: tuple[str, int, str], follower: tuple[str, int, str] | None) -> bool:
        if self.script.fault is not Fault.SWAP or follower is None:
            return False
        return reply[0] != follower[0] and min(reply[1], follower[1]) < 400

    @staticmethod
    def _wire(reply: tuple[str, int, str]) -> bytes:
        _, code, text = reply
        *first, last = text.split("\n")
        return b"".join(b"%d-%b\r\n" % (code, line.encode()) for line in first) + b"%d %b\r\n" % (code, last.encode())

    def _say(self, verb: str, code: int, text: str = "said") -> None:
        self._burst.append((verb, code, text))

    def _step(self) -> bool:
        if self._reading:
            return self._read_content()
        line, mark, rest = self._in.partition(b"\r\n")
        if not mark:
            return False
        words = line.decode("latin-1")
        if words.startswith("BDAT "):
            size = int(words.split()[1])
            if len(rest) < size:
                return False
            self._in = rest[size:]
            self._chunk(rest[:size], last=words.endswith("LAST"))
            return True
        self._in = rest
        self._command(words)
        return True

    def _command(self, line: str) -> None:
        script = self.script
        if line.startswith("EHLO"):
            self._say("EHLO", 250, "\n".join(("mx.test", *script.extensions, "HELP")))
        elif line.startswith("MAIL"):
            self._sender = script.mail == 250
            if script.mail >= 500:
                self.refused |= set(range(len(script.recipients)))
            self._say("MAIL", script.mail)
        elif line.startswith("RCPT"):
            self._rcpt(line)
        elif line == "DATA":
            self._data()
        elif line == "RSET":
            self._clear()
            self._say("RSET", 250)
        else:
            self._say("OTHER", 500)

    def _rcpt(self, line: str) -> None:
        match = re.search(r"<r(\d+)@", line)
        assert match is not None
        n = int(match[1])
        code = self.script.recipients[n] if self._sender else 503
        if code < 300:
            self._rcpts.append(n)
        elif self._sender and code >= 500:
            self.refused.add(n)
        self._say("RCPT", code)

    def _data(self) -> None:
        code = self.script.data if self._rcpts else 554
        if code == 354:
            self._reading = True
        elif code >= 500:
            self.refused |= set(self._rcpts)
        self._say("DATA", code)

    def _read_content(self) -> bool:
        content = b"\r\n" + self._in
        end = content.find(b"\r\n.\r\n")
        if end < 0:
            return False
        self._in = content[end + 5 :]
        self._reading = False
        self._end(re.sub(rb"\r\n\.", b"\r\n", content[: end + 2])[2:])
        return True

    def _chunk(self, data: bytes, *, last: bool) -> None:
        self._content += data
        if not self._rcpts or self._failed:
            self._say("BDAT", 503)
        elif last:
            self._end(self._content)
        else:
            self._failed = self.script.chunk != 250
            if self.script.chunk >= 500:
                self.refused |= set(self._rcpts)
            self._say("BDAT", self.script.chunk)

    def _end(self, content: bytes) -> None:
        if self.script.end == 250:
            self.taken |= set(self._rcpts)
            self.messages.append(content)
        elif self.script.end >= 500:
            self.refused |= set(self._rcpts)
        self._clear()
        self._say("END", self.script.end)

    def _clear(self) -> None:
        self._sender, self._rcpts, self._content, self._failed = False, [], b"", False
