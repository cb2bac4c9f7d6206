"""Recipes, a file each: `build(*, setting=default, ...) -> Recipe`; the signature is the settings."""
