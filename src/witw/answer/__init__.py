"""Answers to where a photo was taken: numbers, files for a GIS, and an offline page."""
