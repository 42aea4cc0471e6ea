"""Parts of an OpenAPI document for the declarations of operations."""

from pacifica.dispatcher.rest.schemas import STRING, Node


def header(description: str, *, required: bool = False) -> Node:
    """Describe a response header."""
    return {"description": description, "required": required, "schema": STRING}


def location(of: str, *, required: bool = True) -> dict[str, Node]:
    """Describe the response header Location."""
    return {"Location": header(f"the address of the {of}", required=required)}


def header_parameter(name: str, description: str, schema: Node) -> Node:
    """Describe a request header."""
    return parameter("header", name, description, schema)


def parameter(kind: str, name: str, description: str, schema: Node) -> Node:
    """Describe a parameter.

    Args:
        kind: `path`, `query` or `header`.
        name: the name.
        description: the meaning, for people.
        schema: the JSON Schema.
    """
    return {
        "name": name,
        "in": kind,
        "description": description,
        "required": kind == "path",
        "schema": schema,
    }
