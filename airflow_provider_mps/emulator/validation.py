"""What MPS refuses before it does anything: unknown, missing and impossible parameters, with its codes."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.errors import MpsConfigError

_OBJECTS = {"CosInputInfo", "UrlInputInfo", "S3InputInfo", "RawParameter", "CosOutputStorage"}


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def checked(model: type[api.Action[Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """
    The parameters of a request as ``model`` knows them.

    :raises Refusal: MPS would refuse them.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if unknown := sorted(set(parameters) - set(fields)):
        raise Refusal("UnknownParameter", f"The parameter `{unknown[0]}` is not recognized.")
    # MPS also requires what the action fills in by itself: another client may leave it out.
    required = [name for name, field in fields.items() if field.is_required() or field.default is not None]
    if missing := [name for name in required if parameters.get(name) is None]:
        raise Refusal("MissingParameter", f"The request is missing a required parameter `{missing[0]}`.")
    for name, longest in (("SessionId", 50), ("SessionContext", 1000)):
        if len(str(parameters.get(name) or "")) > longest:
            raise Refusal(f"InvalidParameterValue.{name}TooLong", f"{name} is longer than {longest} characters.")
    limit = "10" if parameters.get("Limit") is None else str(parameters["Limit"])
    if not (limit.isdecimal() and 0 < int(limit) <= 100):
        raise Refusal("InvalidParameterValue.Limit", "Limit must be between 1 and 100.")
    _check_shapes(parameters)
    try:
        return model(**{name: value for name, value in parameters.items() if value is not None}).parameters
    except MpsConfigError as error:
        raise Refusal("InvalidParameterValue", str(error)) from error


def _check_shapes(parameters: Mapping[str, Any]) -> None:
    """Refuse nested values of a wrong type, as far as anything here reads them."""
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
            raise Refusal("InvalidParameter", f"The parameter `{name}` is not {expected}.")
        for item in objects:
            _check_shapes(item)
