"""The description of the interface names every address and method that there is, and no other."""

from pacifica.dispatcher import rest


def resource(address: str) -> str:
    """The key in the table of resources of what answers at an address."""
    path = address.removeprefix("/")
    return path if path in rest.RESOURCES else f"{path.partition('/')[0]}/"


def test_every_address_and_method_is_described() -> None:
    described = {
        (resource(address), method.upper())
        for address, methods in rest.DOCUMENT["paths"].items()
        for method in methods
    }
    answered = {
        (path, method)
        for path, kind in rest.RESOURCES.items()
        for method in dir(kind)
        if method.isupper()
    }
    assert described == answered


def test_every_form_and_problem_is_used() -> None:
    text = str(rest.DOCUMENT)
    for kind, parts in rest.DOCUMENT["components"].items():
        for name in parts:
            assert f"'#/components/{kind}/{name}'" in text, name


def test_every_placeholder_of_an_address_is_a_parameter() -> None:
    for address, methods in rest.DOCUMENT["paths"].items():
        for operation in methods.values():
            named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
            assert [f"{{{each}}}" for each in named] == [
                part for part in address.split("/") if part.startswith("{")
            ]
