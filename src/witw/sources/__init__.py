"""Sources of photos, and the stages that list and fetch: search, shards, download.

A source is a module with one function, ``listed(source, place)``. It receives its entry of
``photos`` from the spec and the area, and returns a :class:`witw.sources.base.Listed`: rows of
table ``photos``. The column ``url`` locates each file: an http(s) address goes to the shared
downloader, a path names a file that is converted into the photo store, and a suffix ``#sha256=...``
gives the required digest. All later stages read the table and do not depend on the source.
"""
