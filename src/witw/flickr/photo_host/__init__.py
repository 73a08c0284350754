"""The downloader behind download: requests, throttle, outcome, stored files."""
