#!/bin/sh
# The foreign mail programs that the tests drive. As root on Debian or Ubuntu: install what is missing. Else: name it and fail.
set -eu

packages="swaks msmtp mpop fetchmail getmail6 s-nail curl postfix dovecot-pop3d openssl iproute2 \
libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl libdigest-hmac-perl"

# CPython's own test messages are sent through the server. Debian keeps them in a package apart from its interpreter.
has_messages='import pathlib, test.test_email as t, sys; sys.exit(not any(pathlib.Path(t.__path__[0], "data").glob("msg_*.txt")))'
if ! .venv/bin/python -c "$has_messages" 2>/dev/null; then
    packages="$packages libpython$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite"
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "error: the tests drive mail programs that only Debian's and Ubuntu's package names are known of here." >&2
    echo "       Run them on such a system, as the README says; .venv/bin/python -m pytest --ignore tests/interop runs the rest." >&2
    exit 1
fi

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "error: the tests drive these programs, and they are not installed:$missing" >&2
    echo "       Install them: sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# Postfix and Dovecot must not start: the tests start their own, on their own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
echo "Installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections 2>/dev/null || true
apt-get -qq update
# shellcheck disable=SC2086 # the list is words by intent
apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends $missing >/dev/null
