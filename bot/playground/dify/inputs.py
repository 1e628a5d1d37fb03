"""Checks of start inputs: what the real server's worker refuses, and in which words (recordings 03, 18, 19, 41)."""

import json
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any

from bot.playground.dify.errors import InputError, internal_server_error
from bot.playground.dify.files import usable
from bot.playground.dify.graph import Json

_TRUE = frozenset({"true", "1", "yes", "on"})
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (NoneType,),
}


def check_inputs(form: list[Json], given: Mapping[str, Any], resolve: Callable[[Json, Json], Json]) -> dict[str, Any]:
    """Return a value for every declared input, undeclared ones dropped; `resolve(mapping, rules)` makes a file object.

    Raises `InputError` with Dify's words, or the 500 that a list for a number gets.
    """
    return {item["variable"]: _checked(item, given.get(item["variable"]), resolve) for item in form}


def _checked(item: Json, value: Any, resolve: Callable[[Json, Json], Json]) -> Any:
    name = item["variable"]
    if value is None:
        if item["required"]:  # never filled from the default (recording 03)
            raise InputError(f"{name} is required in input form")
        value = item["default"]
    match item["type"]:
        case "text-input" | "paragraph":
            return _text(item, value)
        case "select":
            if value is not None and value not in item["options"]:
                raise InputError(f"{name} in input form must be one of the following: {item['options']}")
            return value
        case "number":
            return _number(name, value)
        case "checkbox":
            return _flag(value)
        case "json_object":
            if value and not isinstance(value, dict):
                raise InputError(f"{name} in input form must be a dict")
            return value
        case "file":
            return _file(item, value, resolve)
    return _files(item, value, resolve)


def _text(item: Json, value: Any) -> Any:
    name, limit = item["variable"], item["max_length"]
    if value is None:
        return value
    if not isinstance(value, str):
        raise InputError(f"(type '{item['type']}') {name} in input form must be a string")
    if limit and len(value) > limit:
        raise InputError(f"{name} in input form must be less than {limit} characters")
    return value.replace("\x00", "")  # recording 32


def _number(name: str, value: Any) -> Any:
    if isinstance(value, list):
        raise internal_server_error()  # recording 41
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise InputError(f"{name} in input form must be a valid number") from None
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value.lower() in _TRUE
    return bool(value) if isinstance(value, int) else value


def _file(item: Json, value: Any, resolve: Callable[[Json, Json], Json]) -> Any:
    if not value:
        return None
    if not isinstance(value, dict):
        raise InputError(f"{item['variable']} in input form must be a file")
    return resolve(value, item)


def _files(item: Json, value: Any, resolve: Callable[[Json, Json], Json]) -> Any:
    name, limit = item["variable"], item["max_length"]
    if not value:
        return [] if value == [] else None
    if not isinstance(value, list) or not all(isinstance(mapping, dict) for mapping in value):
        raise InputError(f"{name} in input form must be a list of files")
    if limit and len(value) > limit:
        raise InputError(f"{name} in input form must be less than {limit} files")
    return [resolve(mapping, item) for mapping in usable(value)]


def schema_error(item: Json, value: Any) -> str | None:
    """Return what is wrong with a JSON object by its input's schema; it fails the run, not the start (recording 18).

    Of JSON Schema only `type`, `enum`, `required`, `properties` and `items` are looked at.
    """
    schema = item.get("json_schema")
    if not schema or not isinstance(value, dict):
        return None
    error = next(_breaches(json.loads(schema), value), None)
    return f"JSON object for '{item['variable']}' does not match schema: {error}" if error else None


def _breaches(schema: Json, value: Any) -> Iterator[str]:
    kind = schema.get("type")
    if kind and not (isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))):
        yield f"{value!r} is not of type {kind!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not one of {schema['enum']!r}"
    if isinstance(value, dict):
        yield from (f"{name!r} is a required property" for name in schema.get("required", ()) if name not in value)
        for name, rules in schema.get("properties", {}).items():
            if name in value:
                yield from _breaches(rules, value[name])
    if isinstance(value, list) and "items" in schema:
        for element in value:
            yield from _breaches(schema["items"], element)
