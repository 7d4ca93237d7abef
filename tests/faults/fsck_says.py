"""What `posthouse fsck --json` has to complain of."""

import json
from typing import Any


def complaints(said: str) -> list[dict[str, Any]]:
    """Its findings but for notes: whole messages behind the end of a pack, which a kill leaves, are no complaint."""
    try:
        findings: list[dict[str, Any]] = json.loads(said)["findings"]
    except ValueError:
        return [{"severity": "error", "what": said}]
    return [finding for finding in findings if finding["severity"] != "note"]
