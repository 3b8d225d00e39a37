"""[MS-ERREF]: the NTSTATUS values and what their severity bits mean. Imports nothing of frevo."""

from frevo.wire.erref.ntstatus import NTStatus, Severity, is_error, severity

__all__ = ["NTStatus", "Severity", "is_error", "severity"]
