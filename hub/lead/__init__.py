"""Leadership: which hub acts alone where one actor is wanted, and the number that proves it."""
