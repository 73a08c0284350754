"""Count every value."""

VERSION = 1
READS = ("strip",)
