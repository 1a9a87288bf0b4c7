"""What a hub keeps on disk."""
