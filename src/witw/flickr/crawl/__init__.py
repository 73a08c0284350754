"""The crawl behind search: quadtree, pages, journal, ledger, audit, verdict, second look."""
