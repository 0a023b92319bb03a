"""The terminal screens. `app` puts them together, `screens` holds one file per screen, `widgets` what they share.

Nothing here waits for SQLite or plotext: `threads` asks them elsewhere and the answers come back to the event loop.
"""
