"""How hubs watch each other: who is there, whose clock is wrong, and who sees whom."""
