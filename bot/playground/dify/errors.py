"""The error answers of the simulated server, worded as the recordings have them."""

from typing import Any


class ApiError(Exception):
    """An answer `{code, message, status}`; raised by whatever refuses a request, written by the server."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        """Return the JSON object on the wire."""
        return {"code": self.code, "message": self.message, "status": self.status}


class InputError(ValueError):
    """A value that a run cannot start with, or a mapping that names no usable file; the message is Dify's."""


def invalid_param(message: str) -> ApiError:
    """Return the 400 that every `ValueError` of the real server becomes (recording 03)."""
    return ApiError(400, "invalid_param", message)


def not_found(message: str) -> ApiError:
    """Return a 404 for something unknown or not visible to this key or user."""
    return ApiError(404, "not_found", message)


def unauthorized(message: str) -> ApiError:
    """Return the 401 of a missing, garbled or unknown key (recording 02)."""
    return ApiError(401, "unauthorized", message)


def forbidden(message: str) -> ApiError:
    """Return the 403 of an app that may not be used (recording 28)."""
    return ApiError(403, "forbidden", message)


class BodyTooLarge(Exception):
    """A request that the proxy in front of Dify does not let through (dify-api §2.4)."""


def file_too_large() -> ApiError:
    """Return the 413 of Dify itself, which says nothing but its code (recording 08)."""
    return ApiError(413, "file_too_large", "")


def unsupported_file_type() -> ApiError:
    """Return the 415 of an upload whose part has no type (recording 46), and of a made file that is lost."""
    return ApiError(415, "unsupported_file_type", "File type not allowed.")


def unknown_error() -> ApiError:
    """Return the 500 of an id that is no UUID and of a user over 255 characters (recordings 03, 05, 29)."""
    return ApiError(500, "unknown", "Internal Server Error")


def internal_server_error() -> ApiError:
    """Return the 500 of anything nobody foresaw (recordings 31, 41)."""
    return ApiError(
        500,
        "internal_server_error",
        "The server encountered an internal error and was unable to complete your request. "
        "Either the server is overloaded or there is an error in the application.",
    )
