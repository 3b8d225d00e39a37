"""transport of frevo; see docs/architecture.md."""
