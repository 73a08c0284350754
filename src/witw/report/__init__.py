"""Report."""

VERSION = 1
READS = ("areas",)
