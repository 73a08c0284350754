"""Synthetic cities: world, streets, materials, raster."""
