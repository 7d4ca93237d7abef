"""What a reply means for the person who wrote the message: one sentence on what happened, one on what to do."""

from posthouse.message.address import Address
from posthouse.message.reply import Reply

_WRONG_ADDRESS = "Check the spelling of the address, and send the message again to the right one."
_ASK = "Ask the recipient, by other means, for another address."
_POSTMASTER = "If you think that this is a mistake, show this message to the people who run the recipient's mail."
_SMALLER = "Send it smaller, or put large attachments where the recipient can fetch them."
_LATER_OR_ELSE = "Try again later, or tell the recipient by other means."
_SIMPLER = "Send it in a simpler form."
_SENDER = "Show this message to the people who run your own mail."

_MEANINGS = {
    "1.0": ("The recipient's server does not take mail for {address}.", _WRONG_ADDRESS),
    "1.1": ("There is no mailbox {address}.", _WRONG_ADDRESS),
    "1.2": ("There is no mail domain {domain}.", _WRONG_ADDRESS),
    "1.3": ("{address} is not an address that the recipient's server understands.", _WRONG_ADDRESS),
    "1.6": ("The mailbox {address} has moved away.", _ASK),
    "1.7": ("The recipient's server does not understand your own address as a sender.", _SENDER),
    "1.8": ("The recipient's server does not accept your own address as a sender.", _SENDER),
    "1.10": ("{domain} does not take mail at all.", _WRONG_ADDRESS),
    "2.1": ("The mailbox {address} is switched off.", _ASK),
    "2.2": ("The mailbox {address} is full.", _LATER_OR_ELSE),
    "2.3": ("The message is too large for the mailbox {address}.", _SMALLER),
    "2.4": ("The mailing list {address} could not be unfolded.", _POSTMASTER),
    "3.1": ("The server of {domain} is full.", _LATER_OR_ELSE),
    "3.2": ("The server of {domain} takes no mail at present.", _LATER_OR_ELSE),
    "3.4": ("The message is too large for the server of {domain}.", _SMALLER),
    "4.1": ("The server of {domain} does not answer, or does not take mail for {address}.", _LATER_OR_ELSE),
    "4.2": ("The connection to the server of {domain} broke off again and again.", _LATER_OR_ELSE),
    "4.3": ("The directory of {domain} does not answer.", _LATER_OR_ELSE),
    "4.4": ("No mail server can be found for {domain}.", _WRONG_ADDRESS),
    "4.6": ("Mail for {address} goes round in circles.", _POSTMASTER),
    "4.7": ("The message could not be handed over in time.", _LATER_OR_ELSE),
    "6.3": ("The server of {domain} cannot take the message in the form it has.", _SIMPLER),
    "6.7": (
        "The server of {domain} does not know addresses and headers with letters beyond ASCII.",
        "Use plain ASCII in the addresses and the subject.",
    ),
    "7.0": ("The server of {domain} refuses the message.", _POSTMASTER),
    "7.1": ("The server of {domain} refuses the message, or you may not write to {address}.", _POSTMASTER),
    "7.2": ("You may not write to the mailing list {address}.", "Ask those who run the list to let you."),
    "7.5": ("The server of {domain} could not prove that it is the right one, so nothing was sent.", _POSTMASTER),
    "7.10": ("The server of {domain} takes mail over encrypted connections only.", _SENDER),
    "7.25": ("The server of {domain} takes no mail from a server whose address has no name.", _SENDER),
    "7.27": ("The domain of your own address says that it sends and takes no mail.", _SENDER),
    "7.28": ("The server of {domain} has had too much mail from here.", _LATER_OR_ELSE),
    "7.30": ("No way to the server of {domain} is as safe as you asked for.", "Send it without that demand."),
} | dict.fromkeys(  # RFC 7372 3: DKIM, SPF; RFC 8617: ARC
    ("7.20", "7.21", "7.22", "7.23", "7.24", "7.26", "7.29"),
    ("The server of {domain} does not believe that the message comes from you.", _SENDER),
)
_BY_CODE = {521: "1.10", 552: "2.2", 553: "1.3", 556: "1.10"}  # RFC 5321 4.2.3, RFC 7504: for servers without RFC 2034
_BY_SUBJECT = {
    "1": ("The server of {domain} does not take mail for {address}.", _WRONG_ADDRESS),
    "2": ("The mailbox {address} cannot take the message.", _ASK),
    "3": ("The server of {domain} cannot take the message.", _POSTMASTER),
    "4": ("The server of {domain} could not be reached.", _LATER_OR_ELSE),
    "5": ("The server of {domain} and this one did not understand each other.", _POSTMASTER),
    "6": ("The server of {domain} cannot take the message in the form it has.", "Send it in a simpler form."),
    "7": ("The server of {domain} refuses the message.", _POSTMASTER),
}
_OURS = {  # replies of this server itself: no other one is to blame
    "6.3": (
        "The message would have to be changed to be sent to {domain}, which cannot be done without breaking it.",
        "Send it in a simpler form, without a signature, or with the text in an attachment.",
    ),
}
_KEPT = ("The message to {address} is on its way, or has arrived.", "There is nothing to do.")
_LATER = (
    "The message to {address} could not be delivered yet.",
    "There is nothing to do: it is tried again, and you will be told if it fails for good.",
)
_NEVER = ("The message to {address} could not be delivered.", _POSTMASTER)
_REFUSED = ("The server of {domain} refuses the message to {address}.", _POSTMASTER)


def explain(reply: Reply, recipient: Address, *, spoken: bool, expired: bool) -> str:
    """Two sentences. `spoken`: the reply is the other server's; `expired`: it was the last of many tries."""
    if reply.is_positive:
        meaning = _KEPT
    elif reply.code < 500 and not expired:
        meaning = _LATER
    else:
        meaning = _meaning(reply, spoken=spoken) or (_REFUSED if spoken and not expired else _NEVER)
    what, todo = (text.format(address=recipient, domain=recipient.domain or "this server") for text in meaning)
    if expired:
        return f"The message to {recipient} was given up after many tries over days. {what} {todo}"
    return f"{what} {todo}"


def _meaning(reply: Reply, *, spoken: bool) -> tuple[str, str] | None:
    status = reply.enhanced.partition(".")[2] or _BY_CODE.get(reply.code, "")
    if not spoken and status in _OURS:
        return _OURS[status]
    return _MEANINGS.get(status) or _BY_SUBJECT.get(status.partition(".")[0])
