"""The same random steps of several clients on servers with different data planes, whose answers must be the same."""
