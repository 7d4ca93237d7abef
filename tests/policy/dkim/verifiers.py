"""Verifiers by others. Each takes a whole message and says of its DKIM-Signature fields, top first, which hold."""

import ctypes
import json
import subprocess
from pathlib import Path

import dkim  # type: ignore[import-untyped]
import pytest

from tests.interop.tools import tool
from tests.policy.dkim.keys import records

_PERL = r"""
use strict; use warnings; use JSON::PP; use Net::DNS; use Mail::DKIM::Verifier;
package FromFile;  # the override: answers stand in a file, nothing is asked
sub new {
    my ($class, $file) = @_;
    local $/;
    open my $in, '<', $file or die;
    return bless JSON::PP::decode_json(<$in>), $class;
}
sub send {
    my ($self, $name, $type) = @_;
    my $packet = Net::DNS::Packet->new($name, $type);
    my $text = $self->{$name};
    if (!defined $text) { $packet->header->rcode('NXDOMAIN'); return $packet }
    my @strings = $text =~ /(.{1,255})/g;
    $packet->push(answer => Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => \@strings));
    return $packet;
}
sub errorstring { 'NOERROR' }
package main;
Mail::DKIM::DNS::resolver(FromFile->new($ARGV[0]));
my $verifier = Mail::DKIM::Verifier->new();
binmode STDIN;
while (read STDIN, my $piece, 65536) { $verifier->PRINT($piece) }
$verifier->CLOSE;
print $_->result, "\n" for $verifier->signatures;
"""

_QUERY_FILE, _SETOPT, _OPTS_QUERYMETHOD, _OPTS_QUERYINFO = 1, 1, 6, 7
_PASSED = 0x04


def by_dkimpy(message: bytes, signatures: int) -> list[bool]:
    """RSA only: for Ed25519 it needs PyNaCl, which nothing else here wants."""
    found = records()

    def answer(name: bytes, timeout: float = 5) -> bytes:
        return found[name.decode().removesuffix(".")].encode()

    def holds(at: int) -> bool:
        try:
            return bool(dkim.DKIM(message).verify(idx=at, dnsfunc=answer))
        except dkim.ValidationError:  # the body's hash is another; of a signature it says False
            return False

    return [holds(at) for at in range(signatures)]


def by_mail_dkim(message: bytes, folder: Path) -> list[bool]:
    """Perl's Mail::DKIM. RSA only: version 1.2023 of Debian 12 knows no Ed25519 and finds it invalid."""
    (folder / "records.json").write_text(json.dumps(records()))
    (folder / "verify.pl").write_text(_PERL)
    command = [tool("perl"), str(folder / "verify.pl"), str(folder / "records.json")]
    done = subprocess.run(command, input=message, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return [line == "pass" for line in done.stdout.decode().split()]


class OpenDkim:
    """libopendkim, what opendkim and opendkim-testmsg verify with; the program alone cannot take keys from a file."""

    def __init__(self, folder: Path) -> None:
        try:
            self._library = ctypes.CDLL("libopendkim.so.11")
        except OSError:
            pytest.fail("libopendkim is not installed: apt-get install opendkim-tools")
        for name in ("dkim_init", "dkim_verify"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._library.dkim_init(None, None))
        path = folder / "records"
        path.write_text("".join(f"{name} {text}\n" for name, text in records().items()))
        method, info = ctypes.c_int(_QUERY_FILE), ctypes.create_string_buffer(str(path).encode(), 4096)
        for option, value, size in ((_OPTS_QUERYMETHOD, method, 4), (_OPTS_QUERYINFO, info, len(info))):
            set_ = (self._handle, _SETOPT, option, ctypes.byref(value), ctypes.c_size_t(size))
            assert self._library.dkim_options(*set_) == 0

    def close(self) -> None:
        self._library.dkim_close(self._handle)

    def verify(self, message: bytes) -> list[bool]:
        """RSA and Ed25519."""
        call, status = self._library, ctypes.c_int()
        job = ctypes.c_void_p(call.dkim_verify(self._handle, b"test", None, ctypes.byref(status)))
        assert job, status.value
        try:
            assert call.dkim_chunk(job, message, ctypes.c_size_t(len(message))) == 0
            assert call.dkim_chunk(job, None, ctypes.c_size_t(0)) == 0
            call.dkim_eom(job, None)
            return self._results(job)
        finally:
            call.dkim_free(job)

    def _results(self, job: ctypes.c_void_p) -> list[bool]:
        signatures, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_int()
        assert self._library.dkim_getsiglist(job, ctypes.byref(signatures), ctypes.byref(count)) == 0
        results = []
        for at in range(count.value):
            signature = ctypes.c_void_p(signatures[at])
            self._library.dkim_sig_process(job, signature)
            passed = self._library.dkim_sig_getflags(signature) & _PASSED != 0
            results.append(passed and self._library.dkim_sig_getbh(signature) == 0)
        return results
