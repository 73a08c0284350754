"""Train."""

VERSION = 1
READS = ("train", "chip_m")
