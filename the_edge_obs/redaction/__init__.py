"""What is logged of a value: a snapshot, cut to the caps, with its secrets taken out when it is captured and when it is read."""
