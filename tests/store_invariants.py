"""What must hold in a store's folder after every test."""

from pathlib import Path

from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.fsck import check


def complaints(folder: Path) -> list[Finding]:
    """What fsck finds wrong."""
    return [finding for finding in check(folder) if finding.severity is not Severity.NOTE]


def assert_sound(folder: Path) -> None:
    """Every counter, reference and octet of the store is right."""
    found = complaints(folder)
    assert not found, "\n".join(f"{finding.kind}: {finding.where}: {finding.what}" for finding in found)
