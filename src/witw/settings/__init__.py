"""Sections of ``config.yaml``: keys with defaults, units and descriptions.

Each section is a separate module, so that a job builds only the models it reads. The module
:mod:`witw.config` combines them.
"""
