"""What is decided, and by which rules: access, visibility, names, who acts on disk. Nothing here answers a client."""
