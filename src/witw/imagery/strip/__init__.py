"""Strips: locations, opening, blocks."""
