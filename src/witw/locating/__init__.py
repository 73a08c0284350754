"""Locate photos without the workflow: areas of a finished run, and imagery of one's own."""
