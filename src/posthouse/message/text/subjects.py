"""The base subject: what is left of a subject without Re:, Fwd:, [list] and their kin (RFC 5256 2.1)."""

import re

MAX_SUBJECT = 1000  # characters that are compared
_SPACES = re.compile(r"[ \t\r\n]+")
_BLOB = re.compile(r"\[[^\[\]]*+\] *")
_REFWD = re.compile(r"(?:re|fwd?) *(?:\[[^\[\]]*+\] *)?:", re.IGNORECASE)


def base_subject(subject: str) -> tuple[str, bool]:
    """What is left, and whether the message is a reply or forwarded, by its subject."""
    text = _SPACES.sub(" ", subject[:MAX_SUBJECT])  # step 1
    start, end = 0, len(text)
    is_reply = False
    while True:
        end, had_fwd = _before_trailers(text, start, end)  # step 2
        start, had_re = _behind_leaders(text, start, end)  # steps 3 to 5
        is_reply = is_reply or had_fwd or had_re
        whole = text[start:end]
        if len(whole) < 6 or whole[:5].lower() != "[fwd:" or whole[-1] != "]":
            return whole, is_reply  # step 7
        start, end, is_reply = start + 5, end - 1, True  # step 6


def _before_trailers(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the subject ends without (fwd) and space behind it, and whether there was a (fwd)."""
    had_fwd = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif end - start >= 5 and text[end - 5 : end].lower() == "(fwd)":
            end -= 5
            had_fwd = True
        else:
            break
    return end, had_fwd


def _behind_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the subject starts behind all Re:, Fwd: and [blobs], and whether there was a Re: or Fwd:."""
    had_re = False
    while True:
        at = start
        while at < end and text[at] == " ":
            at += 1
        last = at  # of a row of blobs
        while (refwd := _REFWD.match(text, at, end)) is None:
            blob = _BLOB.match(text, at, end)
            if blob is None:
                break
            last, at = at, blob.end()
        if refwd is None:  # the last blob stays where there is nothing else (step 4)
            return (at if at < end else last), had_re
        start, had_re = refwd.end(), True
