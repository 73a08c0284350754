"""Pack."""

VERSION = 1
READS = ("pack",)
