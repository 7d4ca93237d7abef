# The session that test_libraries.py describes, by net/imap as its manual has it.
require 'digest'
require 'json'
require 'net/imap'

host, port, tls, user, password, ca, letter = ARGV
trusted = { ca_file: ca }
if tls == 'tls'
  imap = Net::IMAP.new(host, port: port.to_i, ssl: trusted)
else
  imap = Net::IMAP.new(host, port: port.to_i)
  imap.starttls(trusted)
end
imap.login(user, password)

folders = imap.list('', '*').map(&:name)
imap.select('INBOX')
ids = imap.uid_fetch(1..-1, 'ENVELOPE').map { |each| each.attr['ENVELOPE'].message_id }
from = imap.uid_search(%w[FROM carl])
text = imap.uid_search(['TEXT', 'Köln'.b], 'UTF-8')
message = imap.uid_fetch(1, 'BODY[]').first.attr['BODY[]']

imap.uid_store(2, '+FLAGS', [:Flagged])
imap.uid_copy(4, 'Archive')
imap.uid_store(3, '+FLAGS', [:Deleted])
imap.expunge
imap.append('Sent', File.binread(letter), [:Seen], Time.utc(2025, 2, 3, 18, 28, 47))
imap.logout
imap.disconnect

puts JSON.generate(folders: folders, ids: ids, from: from, text: text, read: Digest::SHA256.hexdigest(message))
