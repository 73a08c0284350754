"""Sections of ``config.yaml``: keys with defaults, units and descriptions.

Each is a module of its own, so that a job makes but the models it reads; :mod:`witw.config` puts
them together.
"""
