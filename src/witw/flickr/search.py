"""List every openly licensed, geotagged photo of an AOI once."""

VERSION = 1
READS = ("bbox_deg", "search", "flickr.api_url", "flickr.photo_hosts")
