"""The hub: one of several equal masters that keep, copy and answer for what the edges sent."""
