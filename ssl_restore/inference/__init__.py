"""Restorers applied to whole pictures, folders and clips."""
