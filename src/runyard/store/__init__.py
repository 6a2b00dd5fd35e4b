"""Stores keep what must survive. A store knows rows and transactions, never decisions."""
