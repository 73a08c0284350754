"""Join."""

VERSION = 1
READS = ("pairs", "city", "satellite", "split")
