"""Thunderbird: all folders and messages come down, what its user does goes up, and new mail shows without asking."""

import base64
import re
from pathlib import Path

from tests.interop.imap.account import ImapAccount, digest, snapshot
from tests.interop.imap.filling import TREE, difficult, fill
from tests.interop.imap.letters import CONVERSATION
from tests.interop.imap.thunderbird import thunderbird
from tests.outside import samples
from tests.outside.relay import until

# nsMsgFolderFlags
SPECIAL = {"Sent": 0x200, "Drafts": 0x400, "Trash": 0x100, "Junk": 0x40000000, "Archive": 0x4000}


def test_download(account: ImapAccount, tmp_path: Path) -> None:
    fill(account, difficult())
    there = snapshot(account)
    with thunderbird(account, tmp_path) as mail:
        mail.until("return folders().length >= given[0]", len(there))
        listed = dict(mail("return folders().map((each) => [path(each), each.flags])"))
        assert set(TREE) <= set(listed) | {"INBOX"}, listed
        assert {name for name, flag in SPECIAL.items() if listed.get(name, 0) & flag} == set(SPECIAL)
        for name in TREE:
            mail.until("return await update(given[0])", name)
            mail.until("return await download(given[0])", name)
            mail.until("return headers(given[0]).every(downloaded)", name)
            got = mail("return headers(given[0]).map((each) => [each.messageKey, octets(each)])", name)
            assert len(got) == TREE[name]
            different = [uid for uid, octets in got if there[name][uid].digest not in stored(base64.b64decode(octets))]
            assert not different, (name, len(different), base64.b64decode(dict(got)[different[0]]))


def stored(message: bytes) -> set[str]:
    """Digests of what a message may be on the server: Thunderbird puts lines before it, and ends the last."""
    message = re.sub(rb"\r?\n", b"\r\n", re.sub(rb"\A(X-Mozilla-[^\n]*\n)+", b"", message))
    return {digest(message), digest(message.removesuffix(b"\r\n"))}


def test_what_its_user_does(account: ImapAccount, tmp_path: Path) -> None:
    """Flags, tags, a new folder, moving, deleting; and mail that comes shows by itself (IDLE)."""
    with account.imapclient() as client:
        for message in CONVERSATION:
            client.append("INBOX", message)
    with thunderbird(account, tmp_path) as mail:
        mail.until("return folders().some((each) => path(each) === 'Trash')")
        mail.until("return await update('INBOX')")
        assert mail("return headers('INBOX').map((each) => each.mime2DecodedSubject)")[2] == "Grüße"
        mail("find('INBOX').markMessagesRead(chosen('INBOX', [1, 2]), true)")
        mail("find('INBOX').markMessagesFlagged(chosen('INBOX', [2]), true)")
        mail("find('INBOX').addKeywordsToMessages(chosen('INBOX', [1]), '$label1')")
        mail("server().rootFolder.createSubfolder('Küche & Co', null)")
        mail.until("return folders().some((each) => path(each) === 'Küche & Co')")
        mail.until("return await moved('INBOX', [3, 4], 'Küche & Co')")
        mail("find('INBOX').deleteMessages(chosen('INBOX', [5]), null, false, false, null, false)")
        until(lambda: len(snapshot(account)["Trash"]) == 1, lambda: str(snapshot(account)))
        found = {name: [seen.flags for seen in folder.values()] for name, folder in snapshot(account).items() if folder}
        assert found == {
            "INBOX": [("$label1", "\\Seen"), ("\\Flagged", "\\Seen")],
            "Küche & Co": [(), ()],
            "Trash": [()],
        }
        mail.until("return await update('INBOX')")
        account.deliver(samples.plain("came meanwhile"))
        mail.until("return headers('INBOX').some((each) => each.subject === 'came meanwhile')")
        account.peer.restart()
        account.deliver(samples.plain("came after"))
        mail.until("await update('INBOX'); return headers('INBOX').some((each) => each.subject === 'came after')")
