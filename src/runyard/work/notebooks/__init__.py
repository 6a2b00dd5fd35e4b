"""Notebooks: read into cells, run in the attempt's own process, kept with what each cell gave."""
