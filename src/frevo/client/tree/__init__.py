"""A connected share on the wire: its requests, and the meaning of their responses."""
