"""server of frevo; see docs/architecture.md."""
