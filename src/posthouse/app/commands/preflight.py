"""What cannot work although the configuration is well formed: files, user, names and addresses of this very machine.

Asked by `posthouse config check`. As root it looks with the eyes of those who will need each thing: the certificate,
its key and the secrets are read before root is given up, all else by the server's user.
"""

import datetime
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from posthouse.app.config import kinds
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.hostname import own_name, public_name
from posthouse.app.config.loading import Config
from posthouse.app.config.problems import Problem
from posthouse.app.config.services import listen_requests
from posthouse.app.config.sources import Given, declared, kind_of
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.permissions import check_access, check_access_of
from posthouse.app.errors import CommandError
from posthouse.app.system_users import User, find_user, unreadable
from posthouse.net.tls import TlsFilesError, TlsKeeper

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SOON = datetime.timedelta(days=14)


@dataclass(slots=True)
class Findings:
    """`problems` keep the server from working; `notes` are worth a look."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(config: Config, now: datetime.datetime) -> Findings:
    """Look at everything that the configuration names. Changes nothing."""
    return _Look(config, now).look()


class _Look:
    def __init__(self, config: Config, now: datetime.datetime) -> None:
        self._config = config
        self._settings = config.settings
        self._now = now
        self._user: User | None = None  # whom root becomes; None: we stay who we are
        self.found = Findings()

    def look(self) -> Findings:
        self._look_at_names()
        self._look_at_paths()
        if self._look_at_user():
            self._look_at_data()
            self._look_at_authorities()
        self._look_at_certificate()
        self._look_at_addresses()
        self._look_at_routes()
        return self.found

    def _problem(self, name: str, text: str, advice: str = "", item: int | None = None) -> None:
        """About the setting `name`, at the place where it was written, if it was."""
        section, _, key = name.rpartition(".")
        entry = self._config.given.get((section, key))
        message = f"{name}: {text}"
        if entry is not None:
            self.found.problems.append(entry.problem(message, advice=advice, item=item))
        else:
            origin = self._config.origins.get(name, "default")
            file = self._config.file or "the defaults"
            source = file if origin == "default" else origin
            self.found.problems.append(Problem(str(source), message, help=advice))

    def _look_at_names(self) -> None:
        name = own_name(self._settings)
        if not public_name(name):
            text = f'"{name}" is no name by which other servers can find this one, and many refuse mail from it'
            self._problem("server.hostname", text, "write the full name of this machine, such as mail.example.org")
        hello = self._settings.outgoing.hello
        if hello and not public_name(hello):
            text = f'"{hello}" is no name that other servers can look up'
            self._problem("outgoing.hello", text, 'write a full name, or "" for server.hostname')

    def _look_at_paths(self) -> None:
        """What a relative path means depends on where somebody stands when the server is started."""
        for name, path in _paths(self._config.given):
            if not path.is_absolute():
                self._problem(name, f'"{path}" is a relative path', f"write all of it, such as {path.absolute()}")

    def _look_at_user(self) -> bool:
        """Find whom root becomes. False: there is nobody, so that nothing can be said of what they may do."""
        name = self._settings.server.user
        if not name or (os.geteuid() != 0 and ("server", "user") not in self._config.given):
            return True
        try:
            user = find_user(name)
        except CommandError as error:
            self._problem("server.user", error.text.removesuffix(" (server.user)"), error.fix)
            return False
        self._user = user if os.geteuid() == 0 else None
        return True

    def _look_at_data(self) -> None:
        data = self._settings.server.data
        assert data is not None  # checked when the configuration was read
        try:
            if not data.exists():
                self.found.notes.append(f"there is no data folder at {data} yet: posthouse domain add makes it")
            elif not data.is_dir():
                self._problem("server.data", f"{data} is not a folder")
            elif self._user is None:
                check_access(DataPaths(data))
            else:
                check_access_of(self._user, DataPaths(data))
        except CommandError as error:
            self._problem("server.data", error.text, error.fix)
        except OSError as error:
            self._problem("server.data", f"{data} cannot be looked at: {error.strerror}")

    def _look_at_authorities(self) -> None:
        file = self._settings.outgoing.ca_file
        if file is None:
            return
        reason, advice = _reason(lambda: file.read_bytes()), ""
        if not reason and self._user is not None and unreadable(self._user, [file]):
            reason = f"it may not be read by {self._user.name}"
            advice = f"chmod a+r {file}, and a+x for the folders above it"
        if not reason:
            reason = _reason(lambda: ssl.create_default_context(cafile=file))
        if reason:
            self._problem("outgoing.ca_file", f"{file} cannot be used: {reason}", advice)

    def _look_at_certificate(self) -> None:
        tls = self._settings.tls
        if tls.certificate is None or tls.key is None:
            note = "no certificate is named: the server makes one of its own, which mail programs warn of"
            self.found.notes.append(f"{note} (tls.certificate, tls.key)")
            return
        try:
            TlsKeeper(tls.certificate, tls.key, password=tls.key_password)
        except TlsFilesError as error:
            name = "tls.key" if str(error).startswith("the key") else "tls.certificate"
            self._problem(name, str(error))
            return
        except PermissionError as error:  # a folder on the way
            self._problem("tls.certificate", f"{error.filename} cannot be read: {error.strerror}", "run it as root")
            return
        self._look_into(tls.certificate)

    def _look_into(self, file: Path) -> None:
        from cryptography import x509

        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        begin = certificate.not_valid_before_utc
        end = certificate.not_valid_after_utc
        if end <= self._now:
            self._problem("tls.certificate", f"{file} expired on {end:%Y-%m-%d}", "renew it, and check again")
        elif begin > self._now:
            self._problem("tls.certificate", f"{file} is valid from {begin:%Y-%m-%d} on only", "is this clock right?")
        elif end - self._now < _SOON:
            self.found.notes.append(f"{file} expires on {end:%Y-%m-%d}: is it renewed by itself?")
        names = _names(certificate)
        host = public_name(own_name(self._settings))
        if host and host not in names and f"*.{host.partition('.')[2]}" not in names:
            text = f"{file} is for {', '.join(sorted(names)) or 'no name'}, and this server is {host}"
            self._problem("tls.certificate", text, f"get one for {host}, or correct server.hostname")

    def _look_at_routes(self) -> None:
        for name, route in self._settings.route.items():
            if route.login and not route.password:
                self._problem(f"route.{name}.login", "there is no password for it", "give password_file, too")
            elif route.password and not route.login:
                given = "password" if (f"route.{name}", "password_file") not in self._config.given else "password_file"
                self._problem(f"route.{name}.{given}", "there is no login for it", "give login, too")

    def _look_at_addresses(self) -> None:
        ours = self._settings
        for place in listen_requests(ours):
            endpoints: tuple[Endpoint, ...] = _setting(ours, place.key)
            item = endpoints.index(place.endpoint)
            if place.endpoint.path:
                folder = Path(place.endpoint.path).parent
                if not folder.is_dir():
                    self._problem(place.key, f"there is no folder {folder}", f"make it: mkdir {folder}", item)
            elif place.endpoint.host and (reason := _foreign(place.endpoint.host)):
                self._problem(place.key, f"{place.endpoint.host} {reason}", "see: ip address", item)
        sources = {"outgoing.source_ipv4": ours.outgoing.source_ipv4, "outgoing.source_ipv6": ours.outgoing.source_ipv6}
        sources |= {f"route.{name}.source": route.source for name, route in ours.route.items()}
        for name, family in (("outgoing.source_ipv4", "."), ("outgoing.source_ipv6", ":")):
            if sources[name] and family not in sources[name]:
                self._problem(name, f"{sources[name]} is of the other family", "IPv4 and IPv6 have a setting each")
        for name, address in sources.items():
            if address and (reason := _foreign(address)):
                self._problem(name, f"{address} {reason}", "see: ip address")


def _paths(given: Mapping[tuple[str, str], Given]) -> Iterator[tuple[str, Path]]:
    """The settings that name a file or folder, as they were written."""
    paths = {(section, key) for section, key, declaration in declared() if kind_of(declaration) is kinds.PATH}
    for (section, key), entry in given.items():
        is_secret = key.endswith("_file") and (section, key) not in paths
        if ((section, key) in paths or is_secret) and isinstance(entry.value, str) and entry.value:
            yield f"{section}.{key}", Path(entry.value)


def _setting(settings: object, name: str) -> tuple[Endpoint, ...]:
    found: object = settings
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, tuple)
    return found


def _reason(work: Callable[[], object]) -> str:
    """Why it cannot be done; "" if it can."""
    try:
        work()
    except ssl.SSLError as error:
        return f"it holds no certificates in PEM form ({error.reason})"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _names(certificate: "Certificate") -> set[str]:
    """What a certificate is for: the subject's common name does not count any more."""
    from cryptography import x509

    with suppress(x509.ExtensionNotFound, ValueError):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    return set()


def _foreign(host: str) -> str:
    """Why nothing on this machine can have the address `host`; "" when it can."""
    try:
        for family, _, _, _, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.bind(where)
    except socket.gaierror:
        return "is no address or host name here"
    except OSError:
        return "is not an address of this machine"
    return ""
