"""`python -m pacifica.dispatcher`."""

from pacifica.dispatcher.cli import main

main(prog_name="python -m pacifica.dispatcher")
