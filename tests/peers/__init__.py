"""The programs that tests talk to: where they are, how they are started, and what it means when one is missing.

Used as `from peers import programs` (pytest's `pythonpath` holds tests/). A test that needs a program asks
`programs.need("smbclient")`: the test is skipped with the reason when it is missing, and fails when CI is set.
"""
