"""The crawl behind search: quadtree, pages, journal, ledger, second look."""
