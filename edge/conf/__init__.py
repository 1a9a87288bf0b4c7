"""Configuration that hubs hold for this edge: asked for, tried, kept as last good."""
