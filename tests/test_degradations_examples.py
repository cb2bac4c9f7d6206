"""The examples in the docstrings of the physics: every exported name has one, and all are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import degradations

MODULES = [file.name for file in pkgutil.iter_modules(degradations.__path__)]
NAMES = {name: getattr(degradations, name) for name in degradations.__all__}
ALIASES = {"PRIORS", "Range", "Shape"}  # no room for a docstring


def examples(module):
    """The examples of a file, of what is defined in it."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(module, globs={**vars(module), **NAMES, "torch": torch})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_file_are_true(name):
    module = importlib.import_module(f"degradations.{name}")
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL, verbose=False)
    for test in examples(module):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", sorted(NAMES.keys() - ALIASES))
def test_every_exported_name_has_an_example(name):
    doc = NAMES[name].__doc__
    assert "\nExample:\n" in doc.replace("    Example:", "Example:")
    assert doctest.DocTestParser().get_examples(doc)


@pytest.mark.parametrize("name", sorted(NAMES.keys() - ALIASES))
def test_a_docstring_fits_on_a_screen_and_begins_with_one_line(name):
    lines = NAMES[name].__doc__.split("\n")
    assert len(lines) < 45
    assert lines[0].endswith((".", ":"))
    assert lines[1] == ""


def test_functions_say_what_goes_in_and_what_comes_out():
    functions = [name for name, value in NAMES.items() if type(value).__name__ == "function"]
    assert len(functions) > 50
    for name in functions:
        assert "Args:" in NAMES[name].__doc__, name
        assert "Returns:" in NAMES[name].__doc__ or name == "check_fps", name
