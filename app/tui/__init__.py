"""The terminal screens, a folder for each; `shell` is what they stand on, `widgets` what several show.

Nothing here waits for SQLite or plotext: `shell.threads` asks them elsewhere and the answers come back to the event loop.
"""
