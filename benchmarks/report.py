"""Results as JSON for machines and a Markdown table for people."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rows import ROWS

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Measured:
    """Every run of every row: labels[0] is Posthouse."""

    labels: list[str]
    runs: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # row, label, values in order

    def add(self, label: str, results: dict[str, float]) -> None:
        """Keep what one run gave."""
        for row, value in results.items():
            self.runs.setdefault(row, {}).setdefault(label, []).append(value)

    def rows(self) -> list[str]:
        """The rows that were measured, in the table's order."""
        return [name for name in ROWS if name in self.runs]

    def median(self, row: str, label: str) -> float | None:
        """The median of the runs; None where there was none."""
        values = self.runs[row].get(label)
        return statistics.median(values) if values else None

    def ratio(self, row: str) -> float | None:
        """How many times as good as the peer: above 1 is better, whichever way the unit runs."""
        if len(self.labels) < 2:
            return None
        ours, theirs = (self.median(row, label) for label in self.labels[:2])
        if not ours or not theirs:
            return None
        return ours / theirs if ROWS[row].higher_is_better else theirs / ours


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    system = next((line.split("=")[1].strip().strip('"') for line in _lines("/etc/os-release") if "PRETTY" in line), "")
    return {
        "cpu": cpu or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{total / 1024 / 1024:.0f} GiB",
        "system": f"{system}, Linux {platform.release()}",
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def commit() -> str:
    """The commit that was measured, marked when files differ from it; "" outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def as_data(measured: Measured, options: dict[str, object]) -> dict[str, object]:
    """All there is to know of a measurement."""
    rows = [
        {
            "row": name,
            "title": ROWS[name].title,
            "unit": ROWS[name].unit,
            "higher_is_better": ROWS[name].higher_is_better,
            "runs": measured.runs[name],
            "median": {label: measured.median(name, label) for label in measured.labels},
            "ratio": measured.ratio(name),
        }
        for name in measured.rows()
    ]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    # Commands and folders are this machine's own business: they say nothing about the figures.
    said = {name: options[name] for name in ("rows", "repeat", "workers", "quick") if name in options}
    return {"date": now, "commit": commit(), "machine": machine(), "options": said, "rows": rows}


def number(value: float | None) -> str:
    """Three digits that mean something, thousands set apart."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_table(measured: Measured) -> str:
    """The Markdown table: medians, spread, ratio."""
    head = ["work", "unit", *measured.labels] + (["ratio"] if len(measured.labels) > 1 else [])
    lines = [f"| {' | '.join(head)} |", f"| --- | --- |{' ---: |' * (len(head) - 2)}"]
    for name in measured.rows():
        row = ROWS[name]
        cells = [row.title + ("" if row.higher_is_better else " (less is better)"), row.unit]
        for label in measured.labels:
            values = measured.runs[name].get(label, [])
            spread = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
            cells.append(number(measured.median(name, label)) + spread)
        if len(measured.labels) > 1:
            ratio = measured.ratio(name)
            cells.append(f"{ratio:.1f}x" if ratio else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_page(measured: Measured, data: dict[str, object]) -> str:
    """A page around the table."""
    on = machine()
    where = f"{on['cpu']}, {on['cores']} cores, {on['memory']}, {on['system']}, Python {on['python']}"
    return (
        f"# Speed\n\nMeasured {data['date']} at commit {data['commit']} on {where}. Medians of alternating runs, "
        "lowest and highest in brackets; the load client runs on the same cores.\n\n"
        f"{as_table(measured)}\n![the same as a plot](bench.svg)\n"
    )


def write(measured: Measured, folder: Path, options: dict[str, object], pictures: Mapping[str, str]) -> None:
    """bench.json, bench.md, and the pictures by their file names."""
    folder.mkdir(parents=True, exist_ok=True)
    data = as_data(measured, options)
    (folder / "bench.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / "bench.md").write_text(as_page(measured, data))
    for name, picture in pictures.items():
        (folder / name).write_text(picture)
