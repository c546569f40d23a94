"""Validation errors in plain words, for administrators: pydantic's messages are for programmers."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_WORDS = {
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "dict_type": "it must be an object",
    "extra_forbidden": "it is not known",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "int_from_float": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_parsing_size": "it is too large a number",
    "int_type": "it must be a whole number",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "list_type": "it must be a list",
    "literal_error": "it must be {expected}",
    "missing": "it is missing",
    "model_attributes_type": "it must be an object",
    "model_type": "it must be an object",
    "path_type": "it must be a path",
    "string_pattern_mismatch": "it does not match {pattern}",
    "string_too_long": "it must have at most {max_length} characters",
    "string_too_short": "it must have at least {min_length} characters",
    "string_type": "it must be a text",
    "too_long": "it must have at most {max_length} entries",
    "too_short": "it must have at least {min_length} entries",
    "tuple_type": "it must be a list",
    "union_tag_invalid": "its {discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "its {discriminator} is missing",
    "url_parsing": "it must be an address (URL): {error}",
    "url_scheme": "it must begin with {expected_schemes}, and ://",
    "url_type": "it must be an address (URL)",
}


def first_error(error: ValidationError) -> tuple[str, str]:
    """Where the first error of a validation lies, and what it is; without the value, which could be a secret.

    Returns:
        The path of the member (``populations.adult.from_age``; empty: the whole), and words: "it must be 1 or more".
    """
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(map(str, first["loc"])), in_words(first)


def in_words(error: ErrorDetails) -> str:
    """One error in words. A kind that is not in the table, or that a validator of ours raises, keeps its message."""
    words = _WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else error["msg"].removeprefix("Value error, ")
