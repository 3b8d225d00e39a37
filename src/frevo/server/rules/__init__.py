"""Decisions: access, visibility, names, who acts on disk. Nothing here responds to clients."""
