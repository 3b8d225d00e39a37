"""Files and whole folders up and down: parallel over files, resumable, small ones in one round trip."""

from __future__ import annotations

from frevo.client.batch.download import download, download_all
from frevo.client.batch.jobs import PARALLEL, Plan, Report, Totals, part_name, run_batch
from frevo.client.batch.upload import sendable, upload, upload_all

__all__ = [
    "PARALLEL",
    "Plan",
    "Report",
    "Totals",
    "download",
    "download_all",
    "part_name",
    "run_batch",
    "sendable",
    "upload",
    "upload_all",
]
