"""The loads and yardsticks of `headwater bench`."""
