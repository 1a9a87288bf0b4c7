"""The disposable index of the chunk log: it tells which chunks to open, and never what is in them."""
