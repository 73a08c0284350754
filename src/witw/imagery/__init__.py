"""Imagery: stats, stretch, rgb8, utm, mosaic, chips. Knows nothing of Flickr or torch."""

# Side of a tile of the UTM rasters [px].
TILE = 512
