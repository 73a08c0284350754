"""Mistakes of users, found early: keys, areas, YAML files, command lines."""
