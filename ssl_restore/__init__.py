"""Unpaired image restoration: learn to clean pictures that have no clean versions."""

__version__ = "0.1.0"
