"""`python -m pacifica.dispatcher`."""

from pacifica.dispatcher import installed_first  # noqa: F401

# isort: split
from pacifica.dispatcher.cli import main

main(prog_name="python -m pacifica.dispatcher")
