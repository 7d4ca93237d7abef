"""What a message says, as text: for search, sorting, threads and previews."""

from posthouse.message.text.charsets import charset_text, fold
from posthouse.message.text.digest import Digest, digest
from posthouse.message.text.headers import header_text, message_ids, sent
from posthouse.message.text.html import html_text
from posthouse.message.text.preview import preview
from posthouse.message.text.subjects import base_subject
from posthouse.message.text.threads import (
    Thread,
    ThreadRow,
    thread_ordered_subject,
    thread_references,
    thread_text,
)

__all__ = [
    "Digest",
    "Thread",
    "ThreadRow",
    "base_subject",
    "charset_text",
    "digest",
    "fold",
    "header_text",
    "html_text",
    "message_ids",
    "preview",
    "sent",
    "thread_ordered_subject",
    "thread_references",
    "thread_text",
]
