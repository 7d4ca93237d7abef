"""`python -m benchmarks`: measure, print, and write the results."""

import argparse
import fnmatch
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks import plot, report
from benchmarks.connection import BenchError
from benchmarks.report import Measured
from benchmarks.rows import SCENARIOS, Scale
from benchmarks.target import PEER, Posthouse, Target, parse_peer


def options() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--peer",
        metavar=PEER,
        help="measure this server beside ours, turn by turn",
    )
    parser.add_argument("--label", default="peer", help="its name in the table")
    parser.add_argument(
        "--peer-roots", default="", metavar="COMMAND", help="prints its process ids, to weigh its memory"
    )
    parser.add_argument(
        "--peer-start", default="", metavar="COMMAND", help="starts it, to time that (with --peer-stop)"
    )
    parser.add_argument("--peer-stop", default="", metavar="COMMAND", help="stops it")
    parser.add_argument("--peer-flush", default="", metavar="COMMAND", help="has it try its waiting mail now")
    parser.add_argument(
        "--rows", default="", metavar="A,B", help=f"only these of: {' '.join(SCENARIOS)}; imap-* means each of them"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of Posthouse (0: its default)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: a look, not a figure to quote")
    parser.add_argument("--data", type=Path, help="where Posthouse's data folder is made (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=Path("docs/bench"), help="where bench.json, .md and .svg go")
    asked = parser.parse_args()
    unknown = [name for name in asked.rows.split(",") if name and not fnmatch.filter(SCENARIOS, name)]
    if unknown or asked.repeat < 1:
        parser.error(f"no such rows: {', '.join(unknown)}" if unknown else "--repeat must be 1 or more")
    if asked.quick:
        asked.repeat = 1
    return asked


def measure(targets: list[Target], asked: argparse.Namespace) -> Measured:
    """Every scenario, each server in turn, so that a machine that slows down slows both."""
    measured = Measured([target.label for target in targets])
    chosen = [name for name in asked.rows.split(",") if name] or ["*"]
    for name, (_, run) in SCENARIOS.items():
        if not any(fnmatch.fnmatch(name, each) for each in chosen):
            continue
        for turn in range(asked.repeat):
            for target in targets if turn % 2 == 0 else targets[::-1]:
                results = run(target, Scale(asked.quick))
                measured.add(target.label, results)
                said = ", ".join(f"{row} {report.number(value)}" for row, value in results.items())
                print(f"{target.label:24} {said}", file=sys.stderr, flush=True)
    return measured


def main() -> int:
    """Measure and report; 1 when a server could not do the work."""
    asked = options()
    uvloop.install()
    with tempfile.TemporaryDirectory(prefix="posthouse-bench-", dir=asked.data) as folder:
        ours = Posthouse(Path(folder), asked.workers)
        targets: list[Target] = [ours]
        try:
            if asked.peer:
                commands = {"roots_command": asked.peer_roots, "start_command": asked.peer_start}
                commands["stop_command"] = asked.peer_stop
                commands["flush_command"] = asked.peer_flush
                targets.append(parse_peer(asked.peer, asked.label, commands))
            ours.prepare()
            ours.start()
            measured = measure(targets, asked)
        except (BenchError, OSError, ExceptionGroup) as error:
            print(f"error: {error}", file=sys.stderr)
            print((ours.folder / "log").read_text()[-2000:] if (ours.folder / "log").exists() else "", file=sys.stderr)
            return 1
        finally:
            ours.stop()
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    on = report.machine()
    caption = f"{on['cpu']}, {on['cores']} cores; medians of {asked.repeat}; commit {report.commit()}"
    report.write(measured, asked.out, shown, plot.pictures(measured, caption))
    print(report.as_table(measured))
    print(f"Written to {asked.out}/bench.json, bench.md, bench.svg and headlines.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
