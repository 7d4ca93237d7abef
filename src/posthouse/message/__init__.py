"""The words of mail as pure values: addresses, envelopes, replies, header fields, traces."""
