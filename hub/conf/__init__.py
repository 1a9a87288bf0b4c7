"""Configuration of the whole cluster: written through any hub, the same on all, pulled by edges."""
