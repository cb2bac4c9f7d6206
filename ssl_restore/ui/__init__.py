"""A page in the browser, for this machine only, that restores and fits: what `ssl-restore ui` does.

It needs the extra `ui`. What it shows is made by the functions that the commands call.
"""
