"""The `qemu` driver: real machines, each a QEMU process of its own that outlives the agent."""
