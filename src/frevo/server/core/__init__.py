"""What the rest of the server uses: its state, requests, shares, turns, budgets, lanes."""
