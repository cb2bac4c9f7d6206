"""What improves a given restorer on a stream; `ssl-restore adapt` finds each by its file name."""
