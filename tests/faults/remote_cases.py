"""Every way in which another server may behave, and what must become of a letter to it (RFC 5321)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tests.outside import misbehaving as bad
from tests.outside.certificates import Certificates
from tests.outside.misbehaving import Refuser, Says
from tests.outside.remotes import FEATURES, Remote

BODY = b".\r\n..\r\n.a\r\n\r\nQUIT\r\n.\r\nMAIL FROM:<evil@evil.test>\r\n" + b"x" * 998 + b"\r\n\r\n..\r\nend\r\n"
EIGHT = "Grüße, 世界\r\n".encode()


class Ending(Enum):
    """What becomes of a letter."""

    TAKEN = auto()
    WAITING = auto()  # tried again and again
    BOUNCED = auto()


TAKEN, WAITING, BOUNCED = Ending.TAKEN, Ending.WAITING, Ending.BOUNCED
Make = Callable[[Certificates], Remote]


@dataclass(frozen=True)
class Case:
    """One remote and what must become of a letter to it. `words` of the last reply, or in the bounce."""

    make: Make
    ending: Ending
    words: str = ""
    tls: str = "opportunistic"
    copies: int = 1
    secured: bool | None = None  # taken over TLS
    body: bytes = BODY
    recipients: tuple[str, ...] = ("user",)


def plain(kind: Callable[..., Remote], *words: Any, **options: Any) -> Make:
    """A remote without TLS."""
    return lambda _: kind(*words, **options)


def secure(kind: Callable[..., Remote], *words: Any, expired: bool = False, **options: Any) -> Make:
    """A remote that offers STARTTLS."""
    return lambda made: kind(*words, tls=made.expired() if expired else made.good(), **options)


GOOD = {
    "good": Case(secure(Remote), TAKEN, secured=True),
    **{f"without-{word.lower()}": Case(plain(Remote, without={word}), TAKEN, secured=False) for word in FEATURES},
    "without-all": Case(plain(Remote, without=FEATURES), TAKEN),
    "eight-bit": Case(plain(Remote), TAKEN, body=EIGHT),
    "helo": Case(plain(bad.HeloOnly), TAKEN),
    "lf": Case(plain(bad.LfOnly), TAKEN),
    "grey": Case(plain(bad.Greylister), TAKEN),
    "quoted": Case(plain(Remote), TAKEN, recipients=('"a> SIZE=1 <b"', '".RSET"')),
    "drops": Case(plain(bad.Dropper, 2, durably=False), TAKEN),
    "drops-kept": Case(plain(bad.Dropper, 1, durably=True), TAKEN, copies=2),  # SMTP has no answer to this one
    "cuts": Case(plain(bad.Cutter, 2), TAKEN),
}
LATER = {
    f"{step.lower()}-{reply[:3]}": Case(plain(Refuser, {step: reply}, without={"CHUNKING"}), WAITING, reply[4:])
    for step in ("MAIL", "RCPT", "DATA", "END")
    for reply in ("421 4.3.2 Closing for today", "451 4.3.0 Not at this hour")
} | {
    "greeting-421": Case(plain(Refuser, {"GREETING": "421 4.3.2 Full house"}), WAITING, "Full house"),
    "greeting-554": Case(plain(Refuser, {"GREETING": "554 5.3.2 No service"}), WAITING, "No service"),
    "ehlo-421": Case(plain(Refuser, {"EHLO": "421 4.3.2 Not you"}), WAITING, "Not you"),
    "rcpt-452": Case(plain(Refuser, {"RCPT": "452 4.5.3 Too many"}), WAITING, "Too many"),
    "cuts-always": Case(plain(bad.Cutter, 1 << 30), WAITING, "closed the connection"),
    "drops-always": Case(plain(bad.Dropper, 1 << 30, durably=False), WAITING, "closed the connection"),
}
NEVER = {
    f"{step.lower()}-550": Case(plain(Refuser, {step: f"550 5.7.1 No {step}"}, without=chunks), BOUNCED, f"No {step}")
    for step, chunks in (("MAIL", ()), ("RCPT", ()), ("DATA", ("CHUNKING",)), ("END", ()))
} | {
    "bdat": Case(plain(bad.BdatRefuser), TAKEN),  # by DATA then
    "small": Case(plain(Remote, size=1500), BOUNCED, "at most 1,500"),
    "escape": Case(plain(Refuser, {"RCPT": b"550 5.1.1 a\x1b[2Jb\x00c\x07d\xffe\xc2\x9bf"}), BOUNCED, "550 5.1.1 a"),
    "bare-cr": Case(plain(Refuser, {"RCPT": b"550 5.1.1 x\rSubject: forged"}), BOUNCED, "forged"),
    "long": Case(plain(Refuser, {"END": "\n".join([*["554-5.7.1 no"] * 400, "554 5.7.1 no"])}), BOUNCED, "5.7.1"),
}
TLS = {
    "tls-garbage": Case(secure(bad.GarbageTls), TAKEN, secured=False),
    "tls-closes": Case(secure(bad.ClosingTls), TAKEN, secured=False),
    "tls-refused": Case(secure(bad.TlsRefuser), TAKEN, secured=False),
    "tls-expired": Case(secure(Remote, expired=True), TAKEN, secured=True),
    "tls-forgetful": Case(secure(bad.Forgetful), TAKEN, secured=True),
    "tls-fickle": Case(secure(bad.ChangesItsMind), WAITING, "I have changed my mind"),
    "tls-injected": Case(secure(bad.Injector), TAKEN, secured=False),
    "tls-none": Case(secure(Remote), TAKEN, tls="none", secured=False),
    "must-garbage": Case(secure(bad.GarbageTls), WAITING, "TLS", tls="encrypted"),
    "must-refused": Case(secure(bad.TlsRefuser), WAITING, "not available just now", tls="encrypted"),
    "must-injected": Case(secure(bad.Injector), WAITING, "plain text", tls="encrypted"),
    "must-plain": Case(plain(Remote), WAITING, "does not offer TLS", tls="encrypted"),
    "must-expired": Case(secure(Remote, expired=True), TAKEN, tls="encrypted", secured=True),
    "verified-expired": Case(secure(Remote, expired=True), WAITING, "expired", tls="verified"),
}
NONSENSE = {
    "endless": Case(plain(bad.EndlessReply), WAITING, "without an end"),
    "endless-line": Case(plain(bad.EndlessLine), WAITING, "without an end"),
    "early-ehlo": Case(plain(bad.Early, "EHLO"), WAITING, "not asked"),
    "early-data": Case(plain(bad.Early, "DATA"), WAITING, "not asked"),
    "disordered": Case(plain(bad.Disordered), WAITING),
    "data-250": Case(plain(Says, "DATA", b"250 fine\r\n", without={"CHUNKING"}), WAITING, "no meaning"),
    "mail-200": Case(plain(Says, "MAIL", b"200 fine\r\n"), WAITING, "no meaning"),
    "rcpt-299": Case(plain(Says, "RCPT", b"299 fine\r\n"), WAITING, "no meaning"),
    "data-twice": Case(plain(Says, "DATA", b"354 go\r\n354 go\r\n", without={"CHUNKING"}), WAITING, "not asked"),
    "mixed": Case(plain(Says, "RCPT", b"250-fine\r\n550 not fine\r\n"), WAITING, "two codes"),
    **{
        f"syntax-{n}": Case(plain(Says, step, octets, without={"CHUNKING"}), WAITING, "no reply")
        for n, (step, octets) in enumerate(
            (
                ("GREETING", b"HTTP/1.1 400 Bad Request\r\n"),
                ("GREETING", b"\0\0\0\0\r\n"),
                ("MAIL", b"2x0 what\r\n"),
                ("RCPT", b"OK\r\n"),
                ("RCPT", b"25 0\r\n"),
                ("DATA", b"3540 go\r\n"),
                ("END", b"999 what\r\n"),
                ("END", b"\r\n"),
            )
        )
    },
}
HANGING = {
    "silent": Case(plain(bad.Silent), WAITING),
    "tarpit": Case(plain(bad.Tarpit), WAITING),
    "tls-hangs": Case(secure(bad.HangingTls), WAITING),
}
ENDING = GOOD | LATER | NEVER | TLS | NONSENSE
CASES = ENDING | HANGING
