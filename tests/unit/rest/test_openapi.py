"""The OpenAPI document matches the routes, and the routes match their methods."""

import inspect

import pytest

from pacifica.dispatcher import rest
from pacifica.dispatcher.rest.routes import Route

DESCRIPTION = rest.description()


def by_address(route: Route) -> str:
    """Return the id of a test."""
    return route.address


def test_every_route_for_programs_is_described() -> None:
    assert {
        (address, method.upper())
        for address, methods in DESCRIPTION["paths"].items()
        for method in methods
    } == {
        (route.address.replace("...", ""), method)
        for route in rest.ROUTES
        if route.described
        for method in route.resource.operations()
    }


@pytest.mark.parametrize("route", rest.ROUTES, ids=by_address)
def test_every_method_of_a_resource_is_declared(route: Route) -> None:
    methods = {name for name in dir(route.resource) if name.isupper()}
    assert methods == set(route.resource.operations())


@pytest.mark.parametrize("route", rest.ROUTES, ids=by_address)
def test_a_method_takes_the_declared_parameters(route: Route) -> None:
    for name, declared in route.resource.operations().items():
        known = [*route.path_parameters, *(declared.query or ())]
        taken = inspect.signature(getattr(route.resource, name)).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
            optional = {
                each for each in taken if taken[each].default is not inspect.Parameter.empty
            }
            assert {each.name for each in known} | optional == {*taken} - {"self", "request"}


def test_every_schema_and_problem_is_used() -> None:
    text = str(DESCRIPTION)
    for kind, parts in DESCRIPTION["components"].items():
        for name in parts:
            assert f"'#/components/{kind}/{name}'" in text, name


def test_every_placeholder_of_an_address_is_a_parameter() -> None:
    for address, methods in DESCRIPTION["paths"].items():
        for operation in methods.values():
            named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert [f"{{{each}}}" for each in named] == [
                part for part in address.split("/") if part.startswith("{")
            ]
