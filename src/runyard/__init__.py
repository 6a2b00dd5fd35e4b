"""Runyard: one self-hosted job service that answers on the job APIs data teams already use."""

__version__ = "0.1.0"
