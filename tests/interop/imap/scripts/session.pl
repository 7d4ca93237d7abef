# The session that test_libraries.py describes, by Mail::IMAPClient as its manual has it.
use strict;
use warnings;
use utf8;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Mail::IMAPClient;

my ($host, $port, $tls, $user, $password, $ca, $letter) = @ARGV;
my $trusted = [SSL_ca_file => $ca];
my $imap = Mail::IMAPClient->new(
    Server   => $host,
    Port     => $port,
    User     => $user,
    Password => $password,
    ($tls eq 'tls' ? (Ssl => $trusted) : (Starttls => $trusted)),
) or die "connect: $@\n";

sub checked { my ($result) = @_; defined $result or die $imap->LastError . "\n"; return $result }

my $folders = checked(scalar $imap->folders);
checked($imap->select('INBOX'));
my $ids = checked(scalar $imap->search('ALL'));
my %headers = %{ checked($imap->parse_headers($ids, 'Message-ID')) };
my $koeln = 'Köln';
utf8::encode($koeln);
my $from = checked(scalar $imap->search('FROM', $imap->Quote('carl')));
my $text = checked(scalar $imap->search(\('CHARSET', 'UTF-8', 'TEXT', $imap->Quote($koeln))));
my $message = checked($imap->message_string(1));

checked($imap->set_flag('\\Flagged', 2));
checked($imap->copy('Archive', 4));
checked($imap->delete_message(3));
checked($imap->expunge);
open my $file, '<:raw', $letter or die "$letter: $!\n";
my $appended = do { local $/; <$file> };
checked($imap->append_string('Sent', $appended, '\\Seen', ' 3-Feb-2025 18:28:47 +0000'));
checked($imap->logout);

print encode_json({
    folders => $folders,
    ids     => [map { $headers{$_}{'Message-ID'}[0] } @$ids],
    from    => [map { $_ + 0 } @$from],
    text    => [map { $_ + 0 } @$text],
    read    => sha256_hex($message),
});
