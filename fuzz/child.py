"""`python -m fuzz.child TARGET LIBFUZZER-OPTION…`: fuzzes one target in this process."""

import sys

import atheris

with atheris.instrument_imports(include=["pacifica.dispatcher"]):
    from fuzz.targets import try_input


def main() -> None:
    """Feed the target until the options end it, or it fails."""
    _, name, *options = sys.argv
    atheris.Setup([sys.argv[0], *options], lambda data: try_input(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
