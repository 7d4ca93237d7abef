"""The ways out: each courier takes one message to one destination and says what became of every recipient."""
