"""Checks the parameters of a request and answers what is unknown, missing or invalid with the error code of MPS."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.emulator.exceptions import ApiError
from airflow_provider_mps.errors import MpsConfigError

_OBJECTS = {"CosInputInfo", "UrlInputInfo", "S3InputInfo", "RawParameter", "CosOutputStorage"}


def validated(model: type[api.Action[Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """
    Return the parameters of a request as ``model`` sends them.

    :raises ApiError: MPS answers them with an error.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if unknown := sorted(set(parameters) - set(fields)):
        raise ApiError("UnknownParameter", f"The parameter `{unknown[0]}` is not recognized.")
    # MPS also requires parameters that our action fills in by itself. Other clients may leave them out.
    required = [name for name, field in fields.items() if field.is_required() or field.default is not None]
    if missing := [name for name in required if parameters.get(name) is None]:
        raise ApiError("MissingParameter", f"The request is missing a required parameter `{missing[0]}`.")
    for name, characters in (("SessionId", 50), ("SessionContext", 1000)):
        if len(str(parameters.get(name) or "")) > characters:
            raise ApiError(f"InvalidParameterValue.{name}TooLong", f"{name} is longer than {characters} characters.")
    limit = "10" if parameters.get("Limit") is None else str(parameters["Limit"])
    if not (limit.isdecimal() and 0 < int(limit) <= 100):
        raise ApiError("InvalidParameterValue.Limit", "Limit must be between 1 and 100.")
    _check_shapes(parameters)
    try:
        return model(**{name: value for name, value in parameters.items() if value is not None}).parameters
    except MpsConfigError as error:
        raise ApiError("InvalidParameterValue", str(error)) from error


def _check_shapes(parameters: Mapping[str, Any]) -> None:
    """Check the types of nested values. Only values that the emulator reads are checked."""
    for name, value in parameters.items():
        objects = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]
        expected = ""
        if name in _OBJECTS and not isinstance(value, (Mapping, NoneType)):
            expected = "an object"
        elif name.endswith("TaskSet") and value is not None and value != objects:
            expected = "a list of objects"
        elif name == "Definition" and not (value is None or str(value).isdecimal()):
            expected = "a number"
        if expected:
            raise ApiError("InvalidParameter", f"The parameter `{name}` is not {expected}.")
        for item in objects:
            _check_shapes(item)
