"""Fetch a published checkpoint."""

VERSION = 1
READS = ("weights",)
