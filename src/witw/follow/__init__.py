"""Follow a run: its events, its state and its display."""
