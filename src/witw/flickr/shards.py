"""Divide photo ids into fixed shards."""

VERSION = 1
READS = ("shards",)
