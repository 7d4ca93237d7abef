"""A name server of its own for tests, with faults on demand: real UDP and TCP on one loopback port."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

SOA = "ns.test. root.test. 1 2 3 4 30"


class NameServer(asyncio.DatagramProtocol):
    """`zone`: (name, kind) -> records as zone text. `faults`: name -> what goes wrong when it is asked for."""

    def __init__(self, zone: dict[tuple[str, str], list[str]], faults: dict[str, str] | None = None) -> None:
        self.zone = zone
        self.faults = faults or {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.by_tcp: Counter[str] = Counter()
        self.dropped = 0  # questions with EDNS
        self.ports: set[int] = set()
        self.idents: set[int] = set()
        self.address = ("127.0.0.1", 0)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            self._server = await asyncio.start_server(self._tcp, "127.0.0.1", 0)
            self.address = self._server.sockets[0].getsockname()
            try:
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.address)
            except OSError:
                self._server.close()
                continue
            return self
        raise OSError("no port is free for both")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()
        self._server.close()
        await self._server.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked[name, dns.rdatatype.to_text(question.rdtype)] += 1
        self.ports.add(addr[1])
        self.idents.add(query.id)
        for answer in self._answers(query, name):
            self._transport.sendto(answer, addr)

    def is_silent(self, name: str, *, edns: bool) -> bool:
        """Whether the next question for this name should be given up soon; "unanswered" is for those that wait."""
        fault = self.faults.get(name, "")
        once = fault == "silent once" and not self.asked[name, "A"]
        return once or fault in ("silent", "noise") or (fault == "silent with edns" and edns)

    def _answers(self, query: dns.message.Message, name: str) -> list[bytes]:
        response = self._response(query)
        good = response.to_wire(max_size=65535)
        match self.faults.get(name, ""):
            case "silent" | "unanswered":
                return []
            case "silent once" if self.asked[name, "A"] == 1:
                return []
            case "servfail" | "refused" | "formerr" as word:
                response = dns.message.make_response(query)
                response.set_rcode(dns.rcode.from_text(word))
                return [response.to_wire()]
            case "no edns" if query.edns >= 0:
                response = dns.message.make_response(query)
                response.set_rcode(dns.rcode.FORMERR)
                return [response.to_wire()]
            case "notimp with edns" if query.edns >= 0:
                response = dns.message.make_response(query)
                response.set_rcode(dns.rcode.NOTIMP)
                return [response.to_wire()]
            case "silent with edns" if query.edns >= 0:
                self.dropped += 1
                return []
            case "garbage":
                return [b"", b"x", good[:5], good[:2] + b"\xff" * 50, b"\0" * 12, good]
            case "forged":
                other = dns.message.make_query("evil.test", "A")
                other.id = query.id
                forged = dns.message.make_response(other)
                forged.answer.append(dns.rrset.from_text("evil.test.", 60, "IN", "A", "6.6.6.6"))
                wrong = bytearray(good)
                wrong[0] ^= 0xFF
                return [bytes(wrong), forged.to_wire(), query.to_wire(), good]
            case "noise":
                return [b"noise"] * 200
            case "truncated":
                cut = dns.message.make_response(query)
                cut.flags |= dns.flags.TC
                return [cut.to_wire()]
        return [good]

    def _response(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AD
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        for _ in range(30):
            target = self.zone.get((name, "CNAME"))
            if target is None or kind == "CNAME":
                break
            response.answer.append(dns.rrset.from_text(f"{name}.", 50, "IN", "CNAME", target[0]))
            name = target[0].rstrip(".")
            if name.endswith(".far.test"):  # somebody else's zone: the answer ends here
                return response
        records = self.zone.get((name, kind))
        if records:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *records))
        else:
            response.authority.append(dns.rrset.from_text("test.", 90, "IN", "SOA", SOA))
            if not any(known == name for known, _ in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        query = dns.message.from_wire(await reader.readexactly(length))
        self.by_tcp[query.question[0].name.to_text(omit_final_dot=True)] += 1
        answer = self._response(query).to_wire(max_size=65535)
        writer.write(len(answer).to_bytes(2, "big") + answer)
        await writer.drain()
        writer.close()
