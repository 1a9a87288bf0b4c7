"""The pages of a hub, their JSON twins, the login and the stream of changes."""
