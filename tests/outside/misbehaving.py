"""Other people's mail servers as they are, and worse: one class for each way to misbehave (see remotes.py)."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from tests.outside.link import GoneError, Link
from tests.outside.remotes import Remote


async def wait_for_the_end(link: Link) -> None:
    """Say nothing more, ever."""
    while await link.some():
        pass
    raise GoneError


# Old, small or strict, but within the rules.


class HeloOnly(Remote):
    """Knows RFC 821 alone."""

    async def do_ehlo(self, link: Link, argument: str) -> None:
        await self.say(link, "502 Command not implemented")


class LfOnly(Remote):
    """Ends its lines with LF alone."""

    async def say(self, link: Link, text: str | bytes) -> None:
        await link.send((text if isinstance(text, bytes) else text.encode()) + b"\n")


class Greylister(Remote):
    """Takes no recipient at the first time from the same sender and host."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.put_off: set[tuple[str, str, str]] = set()

    def refusal(self, step: str, argument: str, link: Link) -> str | bytes | None:
        triple = (link.ip, (link.sender or "").partition(" ")[0], argument.partition(" ")[0])
        if step != "RCPT" or triple in self.put_off:
            return None
        self.put_off.add(triple)
        return "451 4.7.1 Greylisted, come again"


class Refuser(Remote):
    """Says no at the steps given: {"RCPT": "550 5.1.1 Nobody here"}; `only` recipients with that in their address."""

    def __init__(self, refuses: Mapping[str, str | bytes], *, only: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._refuses = refuses
        self._only = only

    def refusal(self, step: str, argument: str, link: Link) -> str | bytes | None:
        return self._refuses.get(step) if self._only in argument or step != "RCPT" else None


class BdatRefuser(Remote):
    """Offers CHUNKING and then does not know BDAT."""

    async def do_bdat(self, link: Link, argument: str) -> None:
        await link.exactly(int(argument.split()[0]))
        await self.say(link, "502 5.5.1 BDAT is not for you")


# Slow, or gone.


class Silent(Remote):
    """Accepts the connection and never says a word."""

    async def greet(self, link: Link) -> None:
        await wait_for_the_end(link)


class Tarpit(Remote):
    """Speaks one octet a second."""

    async def say(self, link: Link, text: str | bytes) -> None:
        for octet in (text if isinstance(text, bytes) else text.encode()) + b"\r\n":
            await link.send(bytes([octet]))
            await asyncio.sleep(1.0)


class Dropper(Remote):
    """Hangs up after the final dot without an answer, so many times; the message is kept all the same, or not."""

    def __init__(self, times: int, *, durably: bool, **options: Any) -> None:
        super().__init__(**options)
        self._times = times
        self._durably = durably

    async def keep(self, link: Link, wire: bytes, *, chunked: bool = False) -> None:
        if self._times:
            self._times -= 1
            if self._durably:
                self.note(link, wire, chunked=chunked)
            raise GoneError
        await super().keep(link, wire, chunked=chunked)


class Cutter(Remote):
    """Hangs up in the middle of the content, so many times. Without BDAT."""

    def __init__(self, times: int, **options: Any) -> None:
        super().__init__(without={"CHUNKING"}, **options)
        self._times = times

    async def read_data(self, link: Link) -> bytes:
        if self._times:
            self._times -= 1
            await link.line()
            raise GoneError
        return await super().read_data(link)


# Broken TLS. All offer STARTTLS.


class GarbageTls(Remote):
    """Answers the handshake with text."""

    async def shake_hands(self, link: Link) -> None:
        await link.send(b"What is a handshake?\r\n" * 20)
        await wait_for_the_end(link)


class ClosingTls(Remote):
    """Hangs up when the handshake is to begin."""

    async def shake_hands(self, link: Link) -> None:
        raise GoneError


class HangingTls(Remote):
    """Never answers the handshake."""

    async def shake_hands(self, link: Link) -> None:
        await wait_for_the_end(link)


class TlsRefuser(Remote):
    """Offers STARTTLS and has no time for it."""

    async def do_starttls(self, link: Link, argument: str) -> None:
        await self.say(link, "454 4.7.0 TLS not available just now")


class Forgetful(Remote):
    """Has fewer extensions after TLS than before."""

    def features(self, link: Link) -> Iterable[str]:
        return ["ENHANCEDSTATUSCODES"] if link.tls else super().features(link)


class ChangesItsMind(Remote):
    """Refuses everything once TLS stands."""

    def refusal(self, step: str, argument: str, link: Link) -> str | bytes | None:
        return "554 5.7.0 I have changed my mind" if link.tls else None


class Injector(Remote):
    """A man in the middle: plain text behind the 220, to be taken for what comes through TLS (CVE-2021-33515)."""

    async def do_starttls(self, link: Link, argument: str) -> None:
        injected = b"250-injected\r\n250 SIZE 1\r\n" + b"550 5.7.1 injected\r\n" * 4
        await link.send(b"220 2.0.0 Ready to start TLS\r\n" + injected)
        await self.shake_hands(link)


# Replies that are none.


class EndlessReply(Remote):
    """Its answer to EHLO never comes to its last line."""

    async def do_ehlo(self, link: Link, argument: str) -> None:
        while True:
            await link.send(b"250-and another thing\r\n" * 100)


class EndlessLine(Remote):
    """Its answer to EHLO never comes to the end of its line."""

    async def do_ehlo(self, link: Link, argument: str) -> None:
        await link.send(b"250 ")
        while True:
            await link.send(b"x" * 4096)


class Says(Remote):
    """Answers one command with octets that are no proper reply, and goes on as if they were."""

    def __init__(self, step: str, octets: bytes, **options: Any) -> None:
        super().__init__(**options)
        self._step = step
        self._octets = octets

    async def answer(self, link: Link, step: str, argument: str, yes: str) -> bool:
        if step != self._step:
            return await super().answer(link, step, argument, yes)
        await link.send(self._octets)
        return True

    def note(self, link: Link, wire: bytes, *, chunked: bool) -> None:
        """What is not answered properly is not taken either."""
        if self._step != "END":
            super().note(link, wire, chunked=chunked)


class Early(Remote):
    """Answers what it has not been asked yet, all the way to "taken", behind its answer to EHLO or DATA."""

    def __init__(self, step: str, **options: Any) -> None:
        super().__init__(without={"CHUNKING"}, **options)
        self._step = step

    async def answer(self, link: Link, step: str, argument: str, yes: str) -> bool:
        if step == self._step:
            later = {"EHLO": "250 Ok\n250 Ok\n354 Go ahead\n250 taken", "DATA": "250 taken"}[step]
            yes = f"{yes}\n{later}"
        return await super().answer(link, step, argument, yes)

    async def keep(self, link: Link, wire: bytes, *, chunked: bool = False) -> None:
        """It never keeps anything."""
        raise GoneError


class Disordered(Remote):
    """Answers pipelined commands in the wrong order: DATA before RCPT."""

    def __init__(self, **options: Any) -> None:
        super().__init__(without={"CHUNKING"}, **options)

    async def do_rcpt(self, link: Link, argument: str) -> None:
        link.recipients.append(argument)  # answered behind DATA

    async def do_data(self, link: Link, argument: str) -> None:
        await self.say(link, "\n".join(["354 Go ahead", *["250 2.1.5 Ok"] * len(link.recipients)]))
        link.start_over()
