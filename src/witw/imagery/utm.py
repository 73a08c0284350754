"""Reproject."""

VERSION = 1
READS = ("utm_epsg", "utm")
