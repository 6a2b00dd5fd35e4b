"""Runyard: one self-hosted job service that answers on the job APIs a data team already uses."""

__version__ = "0.1.0"
