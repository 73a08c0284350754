"""Reprojection: target grid, kernel, resampling, sweep, COG."""
