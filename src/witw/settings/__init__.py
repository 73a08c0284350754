"""The sections of ``config.yaml``: what a stage reads, with names, defaults, units and meaning.

Each is a module of its own, so that a job makes but the models it reads; :mod:`witw.config` puts
them together.
"""
