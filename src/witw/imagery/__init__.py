"""Imagery: stats, stretch, rgb8, utm, mosaic, chips. Imports neither Flickr modules nor torch."""

# Side of a tile in the UTM rasters [px].
TILE = 512
