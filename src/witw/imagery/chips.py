"""Chips."""

VERSION = 1
READS = ("chips", "pairs.min_outdoor_vote", "utm_epsg", "strip_names")
