"""The client library: job files, and every call of a server as Python. It carries nothing of the server."""
