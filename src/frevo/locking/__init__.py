"""Concurrent access to one file: share modes, byte-range locks, delete-pending. Pure decisions."""
