"""JSON schemas for `--schema`: is the schema one, and does an answer satisfy it. jsonschema is loaded only here."""

from __future__ import annotations

import json
from typing import Any

from console.chat.blocks import first_code_block
from console.errors import UsageError
from console.text import shorten


def check_schema(schema: object, name: str) -> dict[str, Any]:
    """The schema, if it is an object that a validator accepts."""
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, dict):
        raise UsageError(f"The schema {name!r} is not a JSON object.")
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"The schema {name!r} is not a valid JSON schema: {shorten(error.message, 200)}.") from error
    return schema


def find_fault(schema: dict[str, Any], text: str) -> tuple[str, str | None]:
    """The JSON of an answer, and what is wrong with it in words for the model and the user, or None.

    A model that was not held to the schema by its server often puts the JSON into a code block, with a word around it.
    """
    from jsonschema import ValidationError
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(text)
    except ValueError as error:
        fault_text = f"it is not JSON: {error}"
        text = first_code_block(text) or ""
        try:
            value = json.loads(text)
        except ValueError:
            return text, fault_text
    try:
        fault: ValidationError | None = best_match(validator_for(schema)(schema).iter_errors(value))
    except Unresolvable as error:
        raise UsageError(f"The schema refers to something that is not in it: {shorten(str(error), 200)}.") from error
    if fault is None:
        return text, None
    return text, f"at {fault.json_path}: {shorten(fault.message, 300)}"
