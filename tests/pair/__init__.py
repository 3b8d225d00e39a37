"""Client and server joined in memory: the real server, a small client that can send anything, a clock the test
controls."""
