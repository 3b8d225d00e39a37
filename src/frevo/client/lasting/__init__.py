"""What outlives a connection: it is made again, work is repeated, and further connections help."""
