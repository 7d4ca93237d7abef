"""The program `posthouse`; `python -m posthouse` is the same."""

import gc
import signal
import sys

# Objects made before Python looks for garbage among them: modules are none, and there are a hundred thousand of them.
_COLLECT_EVERY = 10_000


def main() -> int:
    """Run one command. Ctrl-C while modules are loaded ends it as it ends others, without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_COLLECT_EVERY)
    from posthouse.app import cli

    signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
