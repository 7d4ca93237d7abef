<?php
// The session that test_libraries.py describes, by PHP's IMAP extension as its manual has it.
[, $host, $port, $tls, $user, $password, , $letter] = $argv;

function checked($result)
{
    if ($result === false) {
        fwrite(STDERR, imap_last_error() . "\n");
        exit(1);
    }
    return $result;
}

$server = '{' . "$host:$port/imap" . ($tls === 'tls' ? '/ssl' : '/tls') . '}';
$mailbox = checked(imap_open($server . 'INBOX', $user, $password));

$folders = array_map(fn($name) => substr($name, strlen($server)), checked(imap_list($mailbox, $server, '*')));
$ids = array_map(fn($each) => $each->message_id, checked(imap_fetch_overview($mailbox, '1:*', FT_UID)));
$from = checked(imap_search($mailbox, 'FROM "carl"', SE_UID));
$text = checked(imap_search($mailbox, 'TEXT "Köln"', SE_UID, 'UTF-8'));
$message = checked(imap_fetchbody($mailbox, 1, '', FT_UID));

checked(imap_setflag_full($mailbox, '2', '\\Flagged', ST_UID));
checked(imap_mail_copy($mailbox, '4', 'Archive', CP_UID));
checked(imap_delete($mailbox, '3', FT_UID));
checked(imap_expunge($mailbox));
checked(imap_append($mailbox, $server . 'Sent', file_get_contents($letter), '\\Seen', '03-Feb-2025 18:28:47 +0000'));
checked(imap_close($mailbox));

echo json_encode([
    'folders' => $folders,
    'ids' => $ids,
    'from' => $from,
    'text' => $text,
    'read' => hash('sha256', $message),
]);
