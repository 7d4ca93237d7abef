"""The program: `posthouse`, and `python -m posthouse`, which is the same."""

import sys


def main() -> int:
    """Run one command; returns the exit code. Ctrl-C is a sentence from the first moment on, not a traceback."""
    try:
        from posthouse.app.cli import main as run
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
