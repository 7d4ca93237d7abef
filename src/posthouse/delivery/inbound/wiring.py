"""What is checked at each stage of a message on its way in: the one place where checks are named."""

import time
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.spool import SpoolBudget
from posthouse.delivery.inbound.checks.forged_fields import ForgedFieldsCheck
from posthouse.delivery.inbound.checks.header_lines import HeaderLinesCheck
from posthouse.delivery.inbound.checks.hold_time import HoldTimeCheck
from posthouse.delivery.inbound.checks.hops import MAX_HOPS, HopCheck
from posthouse.delivery.inbound.checks.own_address import OwnAddressCheck
from posthouse.delivery.inbound.checks.quota import QuotaCheck
from posthouse.delivery.inbound.pipeline import Incoming, OnReceived
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.stages import ContentCheck, Stages
from posthouse.delivery.inbound.submission import Submission
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore
from posthouse.message.trace import Tracer


def build_incoming(
    router: Router,
    mailstore: Mailstore,
    spools: SpoolBudget,
    tracer: Tracer,
    log: FilteringBoundLogger,
    *,
    hostname: str,
    checks: Sequence[ContentCheck] = (),
    submission: Submission | None = None,
    signing: Signing | None = None,
    bounces: Bounces | None = None,
    on_received: OnReceived | None = None,
    max_hops: int = MAX_HOPS,
    clock: Callable[[], float] = time.time,
) -> Incoming:
    """The way in. `hostname` is ours; `checks`: of content, behind those that are always made."""
    stages = Stages(
        mail=(HoldTimeCheck(clock), *((OwnAddressCheck(submission),) if submission is not None else ())),
        recipient=(QuotaCheck(mailstore),),
        content=(HopCheck(max_hops), HeaderLinesCheck(), ForgedFieldsCheck(hostname), *checks),
    )
    return Incoming(
        router,
        spools,
        tracer,
        log,
        stages,
        submission=submission,
        signing=signing,
        bounces=bounces,
        on_received=on_received,
        clock=clock,
    )
