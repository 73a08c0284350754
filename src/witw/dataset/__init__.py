"""From per-AOI tables to a data set."""
