"""Programs that tests talk to: where they are, how they start, and what it means when one is missing.

Used as `from peers import programs` (pytest's `pythonpath` holds tests/). A test that needs a program asks
`programs.need("smbclient")`: it is skipped with the reason when that is missing, and fails when CI is set.
"""
