"""Users send under their own addresses (RFC 6409 6.1)."""

from posthouse.delivery.inbound.stages import Origin
from posthouse.delivery.inbound.submission import Submission
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply


class OwnAddressCheck:
    """The reverse-path of a user must be the user's."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def check_mail(self, sender: ReversePath, origin: Origin) -> Reply | None:
        """See MailCheck."""
        return None if origin.account is None else self._submission.check_sender(origin.account, sender.address)
