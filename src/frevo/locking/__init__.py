"""Who may do what to a file at the same time: share modes, byte-range locks, delete-pending. Decisions are pure."""
