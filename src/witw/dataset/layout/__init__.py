"""The data set's own files: laid out as links, and read back."""
