#!/bin/sh
# The foreign mail programs that the tests drive. As root on Debian or Ubuntu: install what is missing. Else: name it and fail.
set -eu

packages="swaks msmtp mpop fetchmail getmail6 s-nail curl postfix dovecot-pop3d openssl iproute2 \
dovecot-imapd dovecot-lmtpd isync offlineimap3 neomutt ca-certificates \
mutt libmail-java default-jdk-headless php-cli php-imap ruby libmail-imapclient-perl \
libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl libdigest-hmac-perl \
opendkim-tools libmail-dkim-perl unbound ldnsutils dns-root-data"

# On Ubuntu, thunderbird is a name for a snap, which the tests cannot drive.
grep -q '^ID=ubuntu' /etc/os-release || packages="$packages thunderbird"

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

# Exim cannot be installed beside Postfix, so its packages are only unpacked, into .work/exim.
exim="exim4-daemon-light exim4-base"
[ -x .work/exim/usr/sbin/exim4 ] && exim=""
# nodemailer and imapflow come from npm, at one version each, into .work/node.
node=""
for library in nodemailer@10.6.1 imapflow@2.10.2; do
    manifest=".work/node/node_modules/${library%@*}/package.json"
    grep -q "\"version\": \"${library#*@}\"" "$manifest" 2>/dev/null || node="$node $library"
done
if [ -n "$node" ] && ! command -v npm >/dev/null 2>&1; then
    missing="$missing npm nodejs"
fi

unpack_exim() {
    echo "Unpacking for the tests: $exim"
    mkdir -p .work/exim/packages
    # shellcheck disable=SC2086
    (cd .work/exim/packages && apt-get -qq -o APT::Sandbox::User=root download $exim)
    for package in .work/exim/packages/*.deb; do dpkg -x "$package" .work/exim; done
}

install_node() {
    echo "Installing for the tests:$node"
    # shellcheck disable=SC2086 # the list is words by intent
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix .work/node $node >/dev/null
}

# The user that Debian's Exim looks for; installing it would have made it.
exim_user=Debian-exim
id "$exim_user" >/dev/null 2>&1 && exim_user=""

add_exim_user() {
    echo "Adding for the tests: the user $exim_user"
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$exim_user"
}

if [ -n "$exim_user" ] && [ "$(id -u)" -ne 0 ]; then
    echo "error: the tests run Debian's Exim, and its user does not exist: $exim_user" >&2
    echo "       Add it: sudo useradd --system --user-group --no-create-home --shell /usr/sbin/nologin $exim_user" >&2
    exit 1
fi

if [ -z "$missing" ]; then
    [ -z "$exim_user" ] || add_exim_user
    [ -z "$exim" ] || unpack_exim
    [ -z "$node" ] || install_node
    exit 0
fi

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
[ -z "$exim_user" ] || add_exim_user
[ -z "$exim" ] || unpack_exim
[ -z "$node" ] || install_node
