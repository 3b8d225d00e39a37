"""A connected share on the wire: the requests it takes and what their answers mean."""
