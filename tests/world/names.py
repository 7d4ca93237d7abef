"""DNS: a signed root, a signed "test.", zones below it without a signature or with a wrong one; and who answers.

Two unbounds run on one host: one knows the zones and nothing else, the other resolves, validates with the root's own
key as its trust anchor, and says so by the AD bit.
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.query
import dns.reversename
import pytest

from tests.interop.tools import PACKAGES, tool
from tests.world.net import Host, Network, ip4, ip6
from tests.world.waiting import until

AUTHORITY = 2  # the number of its address; it lives on the resolver's host
TTL = 60

PACKAGES.update({"unbound": "unbound", "ldns-keygen": "ldnsutils", "ldns-signzone": "ldnsutils"})

_COMMON = """server:
  interface: {address}
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{folder}/{name}.log"
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  local-zone: "test." nodefault
  unblock-lan-zones: yes
  do-not-query-localhost: no
  so-reuseport: no
"""


@dataclass
class Zone:
    """One zone and its records in the presentation format of RFC 1035 5.1."""

    name: str  # with its last dot
    records: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The zone file."""
        apex = (
            f"{self.name} {TTL} IN SOA ns.root. hostmaster.root. 1 3600 600 86400 2\n{self.name} {TTL} IN NS ns.root.\n"
        )
        return apex + "".join(record + "\n" for record in self.records)


class Names:
    """All names of the world. First everything is added, then start()."""

    def __init__(self, net: Network, host: Host) -> None:
        self._host = host
        self._folder = net.folder / "names"
        self._folder.mkdir()
        self._root = Zone(".", [f"ns.root. {TTL} IN A {ip4(AUTHORITY)}"])
        self._test = Zone("test.")
        self._insecure: list[Zone] = []
        self._bogus: list[Zone] = []

    def insecure(self, domain: str) -> None:
        """What is added below `domain` from now on is not signed, as in most of the world."""
        self._insecure.append(Zone(f"{domain}."))

    def bogus(self, domain: str) -> None:
        """What is added below `domain` from now on is signed with another key than its parent says."""
        self._bogus.append(Zone(f"{domain}."))

    def add(self, name: str, kind: str, data: str) -> None:
        """Add one record; `data` in the presentation format, its names with their last dots."""
        self.line(f"{name}. {TTL} IN {kind} {data}")

    def line(self, line: str) -> None:
        """Add one record as a line of a zone file that begins with its whole name."""
        self._zone_of(line.partition(" ")[0]).records.append(line)

    def text(self, name: str, value: str) -> None:
        """Add a TXT record of any length (RFC 7208 3.3: strings of at most 255 octets are joined)."""
        pieces = [value[start : start + 255] for start in range(0, len(value), 255)]
        self.add(name, "TXT", " ".join(f'"{piece}"' for piece in pieces))

    def address(self, name: str, host: Host, *, reverse: bool = False) -> None:
        """Add A and AAAA of a host. `reverse`: `name` is what its addresses are called."""
        self.add(name, "A", host.ip4)
        self.add(name, "AAAA", host.ip6)
        if reverse:
            for address in (host.ip4, host.ip6):
                self.add(dns.reversename.from_address(address).to_text(omit_final_dot=True), "PTR", f"{name}.")

    def _zone_of(self, name: str) -> Zone:
        below = [zone for zone in [*self._insecure, *self._bogus, self._test] if f".{name}".endswith(f".{zone.name}")]
        return max(below, key=lambda zone: len(zone.name), default=self._root)

    def start(self) -> None:
        """Sign, write and serve everything; returns when the resolver answers."""
        self._test.records += [f"{zone.name} {TTL} IN NS ns.root." for zone in [*self._insecure, *self._bogus]]
        for zone in self._insecure:
            (self._folder / f"{zone.name}zone").write_text(zone.text())
        for zone in self._bogus:
            self._sign(zone)
            self._test.records.append(self._new_key(zone.name, "ds"))
        self._root.records += [f"test. {TTL} IN NS ns.root.", self._sign(self._test, "ds")]
        (self._folder / "anchor").write_text(self._sign(self._root, "key") + "\n")
        zones = [self._root, self._test, *self._insecure, *self._bogus]
        self._serve("authority", self._authority(zones))
        self._serve("resolver", self._resolver())
        for address in (ip4(AUTHORITY), self._host.ip4, self._host.ip6):
            self._host.await_port(53, address)
        until(lambda: self.ask("test", "SOA").answer, "the resolver knows nothing")

    def _new_key(self, zone: str, form: str, name: str = "") -> str:
        folder = self._folder / (name or "other")
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [tool("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", zone],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        base = folder / done.stdout.strip()
        return str(base) if form == "base" else Path(f"{base}.{form}").read_text().strip()

    def _sign(self, zone: Zone, form: str = "key") -> str:
        """Write the zone signed; its key as a record of that form."""
        base = self._new_key(zone.name, "base", "keys")
        plain = self._folder / f"{zone.name}plain"
        plain.write_text(zone.text())
        signed = self._folder / f"{zone.name}zone"
        done = subprocess.run(
            [tool("ldns-signzone"), "-o", zone.name, "-f", str(signed), str(plain), base],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"ldns-signzone {zone.name}: {done.stdout}{done.stderr}\n{zone.text()}"
        return Path(f"{base}.{form}").read_text().strip()

    def _authority(self, zones: list[Zone]) -> str:
        address = f"{ip4(AUTHORITY)}"
        text = _COMMON.format(address=address, folder=self._folder, name="authority") + '  module-config: "iterator"\n'
        for zone in zones:
            text += f'auth-zone:\n  name: "{zone.name}"\n  zonefile: "{self._folder}/{zone.name}zone"\n'
            text += "  for-downstream: yes\n  for-upstream: no\n  fallback-enabled: no\n"
        return text

    def _resolver(self) -> str:
        hints = self._folder / "hints"
        hints.write_text(f". {TTL} IN NS ns.root.\nns.root. {TTL} IN A {ip4(AUTHORITY)}\n")
        text = _COMMON.format(address=self._host.ip4, folder=self._folder, name="resolver")
        text += f'  interface: {self._host.ip6}\n  module-config: "validator iterator"\n  val-log-level: 2\n'
        return text + f'  root-hints: "{hints}"\n  trust-anchor-file: "{self._folder}/anchor"\n'

    def _serve(self, name: str, text: str) -> None:
        config = self._folder / f"{name}.conf"
        config.write_text(text)
        with (self._folder / f"{name}.out").open("wb") as log:
            self._host.start(tool("unbound"), "-d", "-c", str(config), log=log)

    def ask(self, name: str, kind: str) -> dns.message.Message:
        """What the resolver says to one question."""
        question = dns.message.make_query(name, kind)
        question.flags |= dns.flags.AD
        with self._host.inside():
            try:
                answer, _ = dns.query.udp_with_fallback(question, self._host.ip4, timeout=5)
            except (OSError, dns.exception.Timeout) as error:
                pytest.fail(f"the resolver says nothing ({error}):\n{self.log}")
        return answer

    @property
    def log(self) -> str:
        """What both servers have said."""
        return "".join(path.read_text() for path in sorted([*self._folder.glob("*.log"), *self._folder.glob("*.out")]))


def names_on(net: Network) -> Names:
    """The host that answers for all names, still without any."""
    host = net.host("names", 53)
    host.run("ip", "address", "add", f"{ip4(AUTHORITY)}/24", "dev", "eth0")
    assert (host.ip4, host.ip6) == (ip4(53), ip6(53))
    return Names(net, host)
