"""Scores: protocols, intervals, headings, localization, calibration, plots."""
