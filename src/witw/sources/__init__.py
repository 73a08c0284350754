"""Sources of photos, and the stages that list and fetch: search, shards, download.

A source is a module with one function, ``listed(source, place)``. It gets its entry of ``photos``
from the spec and the area, and returns a :class:`witw.sources.base.Listed`: rows of table
``photos``. In ``url`` stands how the file is had: an http(s) address goes to the one downloader, a
path is a file that is converted into the photo store, and ``#sha256=...`` behind either says which
file it must be. All that follows reads the table, and knows no source.
"""
