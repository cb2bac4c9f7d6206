"""How good a restored picture is, with and without its truth."""
