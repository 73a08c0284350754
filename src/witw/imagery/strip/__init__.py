"""Strips: where they are, how they open, which blocks they have."""
