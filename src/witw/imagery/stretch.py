"""The stretch."""

VERSION = 1
READS = ("stretch",)
