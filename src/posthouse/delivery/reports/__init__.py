"""What senders are told of their messages: delivery status notifications."""
