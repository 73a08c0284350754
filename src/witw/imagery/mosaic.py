"""Strips as one raster."""

VERSION = 1
READS = ("strip_names",)
