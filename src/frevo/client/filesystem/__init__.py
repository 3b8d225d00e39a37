"""The fsspec file system `frevo`: with it pandas, pyarrow, dask and zarr read and write a NAS."""

from __future__ import annotations

from frevo.client.filesystem.filesystem import FrevoFileSystem

__all__ = ["FrevoFileSystem"]
