"""The answer to where a photo was taken: numbers, files for a GIS, one page that works offline."""
