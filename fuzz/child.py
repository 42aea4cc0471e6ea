"""`python -m fuzz.child TARGET CPU-LIMIT LIBFUZZER-OPTION…`: fuzz one target in this process."""

import sys

import atheris

with atheris.instrument_imports(include=["pacifica.dispatcher"]):
    from fuzz.targets import try_input


def main() -> None:
    """Feed the target until it fails or libFuzzer reaches a limit."""
    program, name, cpu_limit, *options = sys.argv
    atheris.Setup([program, *options], lambda data: try_input(name, data, float(cpu_limit)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
