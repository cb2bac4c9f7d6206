"""Recipes, a file each: `build(*, setting=default, ...) -> Recipe`; its signature is the help."""
