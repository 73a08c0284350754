"""Locate photos in an indexed area: the search, its result, parts of an area."""
