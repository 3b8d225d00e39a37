"""The SMB server; docs/architecture.md shows its layers."""
