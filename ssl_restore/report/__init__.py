"""One HTML page of what was restored, or of a run of `fit`, to look at and to send.

The page holds everything that it shows and asks nothing of anybody: it works without a network.
"""
