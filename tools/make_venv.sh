#!/bin/sh
# Make the virtual environment $1 with $PYTHON, or say in one sentence what is missing. An existing one that works is kept.
set -eu

venv=$1
python=${PYTHON:-python3}
modern='import sys; sys.exit(sys.version_info < (3, 11))'

say() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$modern" 2>/dev/null && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

command -v "$python" >/dev/null 2>&1 ||
    say "there is no '$python' here. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.11 venv"
"$python" -c "$modern" ||
    say "'$python' is $("$python" -V 2>&1); Posthouse needs Python 3.11 or later. Name one: make PYTHON=/path/to/python3.11 venv"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    say "'$python' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"

rm -rf "$venv"
"$python" -m venv "$venv"
