"""`python -m posthouse` is the same as `posthouse`."""

import sys

from posthouse.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
