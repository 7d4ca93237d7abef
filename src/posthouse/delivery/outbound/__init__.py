"""What goes out: the delivery agent, its lanes and couriers."""
