"""What senders learn of their messages: delivery status notifications."""
