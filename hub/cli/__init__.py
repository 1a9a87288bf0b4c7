"""The commands that run a hub or speak to one."""
