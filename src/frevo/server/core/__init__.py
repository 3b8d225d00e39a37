"""What everything else in the server stands on: what it remembers, one request, shares, turns, budgets, lanes."""
