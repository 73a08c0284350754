"""The report stage: one self-contained page made from the result tables."""
