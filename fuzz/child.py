"""`python -m fuzz.child TARGET PATIENCE LIBFUZZER-OPTION…`: fuzzes one target in this process."""

import sys

import atheris

with atheris.instrument_imports(include=["pacifica.dispatcher"]):
    from fuzz.targets import try_input


def main() -> None:
    """Feed the target until the options end it, or it fails."""
    program, name, patience, *options = sys.argv
    atheris.Setup([program, *options], lambda data: try_input(name, data, float(patience)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
