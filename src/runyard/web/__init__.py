"""The web page: runs in a browser, rendered here; a few lines of script fetch the page again when a run moves.

It reads and changes nothing, so its cookie opens no call of the API. It needs no resource of other hosts.
"""
