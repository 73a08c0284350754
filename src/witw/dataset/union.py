"""All areas."""

VERSION = 1
READS = ("areas",)
