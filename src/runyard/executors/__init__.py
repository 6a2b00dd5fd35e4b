"""Executors start, watch and stop attempts. An executor knows processes or the warehouse, never the store."""
