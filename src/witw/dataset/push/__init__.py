"""Copies of the data set and its exports in a bucket."""
