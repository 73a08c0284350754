"""8-bit RGB."""

VERSION = 1
READS = ("strip",)
