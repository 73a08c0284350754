"""Index."""

VERSION = 1
READS = ("index", "bbox_deg")
