"""Parts are closed in the opposite order, all of them."""

import structlog
from structlog.testing import LogCapture

from posthouse.app.process.close_stack import CloseStack


async def test_one_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    closed: list[str] = []
    parts = CloseStack(log)

    async def slowly() -> None:
        closed.append("index")

    def fail() -> None:
        closed.append("mailstore")
        raise OSError("no space left")

    async def fail_slowly() -> None:
        closed.append("sender")
        raise OSError("no space left")

    parts.add("leases", lambda: closed.append("leases"))
    parts.add("mailstore", fail)
    parts.add("index", slowly)
    parts.add("sender", fail_slowly)
    await parts.close()
    await parts.close()
    assert closed == ["sender", "index", "mailstore", "leases"]
    assert [(entry["event"], entry["part"]) for entry in logged.entries] == [
        ("not closed", "sender"),
        ("not closed", "mailstore"),
    ]
