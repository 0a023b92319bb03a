"""What every screen stands on: the session's state, pages, keys, threads."""
