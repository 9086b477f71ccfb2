"""The command `demo`: a hub, and sample agents that work together on it."""
