"""Benchmarks: one script a question, each with its peers or its limit measured in the same run. See README.md."""
