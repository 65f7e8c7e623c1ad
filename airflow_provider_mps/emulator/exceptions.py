"""The one error of the local MPS."""

from __future__ import annotations


class ApiError(Exception):
    """MPS answers the request with this error code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
