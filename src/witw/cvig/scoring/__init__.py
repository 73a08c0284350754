"""Scores: protocols, bootstrap intervals, headings, localization, calibration, plots."""
