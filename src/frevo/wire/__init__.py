"""Bytes to records and back, one folder per specification: smb2, fscc, dtyp, erref, nbt.

Imports nothing on purpose: `frevo.errors` imports `frevo.wire.erref`, and the rest of this package imports
`frevo.errors`. Import the sub-packages by name.
"""
