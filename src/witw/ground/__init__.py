"""Extents of areas: boxes and shapes on the earth."""
