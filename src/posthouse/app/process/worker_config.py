"""What a worker is given by its parent."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.verified_passwords import KEY_OCTETS
from posthouse.app.config.settings import Settings
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.process.certificate import CertificateFiles
from posthouse.delivery.inbound.pipeline import OnReceived


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker is given: all of it was made before privileges were dropped and before it was forked."""

    settings: Settings
    hostname: str
    paths: DataPaths
    certificate: CertificateFiles
    log: FilteringBoundLogger
    workers: int = 1  # how many there are
    connections: int = 0  # bound of each worker, if descriptors bound it below what is configured; 0: they do not
    login_key: bytes = field(default_factory=lambda: os.urandom(KEY_OCTETS))  # of all workers; see login_key.py
    on_received: OnReceived | None = None  # watches messages
    on_refusal: Callable[[str, str, str], None] | None = None  # watches SMTP's refusals: service, command, reply
