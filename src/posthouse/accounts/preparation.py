"""Stands in for posthouse.message.credentials.prepare until that is there."""

import unicodedata


def prepare(text: str) -> str:
    """NFKC, without control characters."""
    prepared = unicodedata.normalize("NFKC", text.replace("\u00ad", ""))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in prepared):
        raise ValueError("it holds a control character")
    return prepared
