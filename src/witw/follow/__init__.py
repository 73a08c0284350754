"""Follow a run: what happened, its state, and how a person sees it."""
