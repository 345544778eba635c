"""What docstrings say of a model's fields: where a program tells people of them, it is said once."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """Returns what the docstrings of a model and of those that it extends say of its fields."""
    told: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        text = (inspect.cleandoc(cls.__doc__ or "") + "\n").partition("\nAttributes:\n")[2]
        told |= {key: " ".join(words.split()) for key, words in _ATTRIBUTE.findall(text) if key in model.model_fields}
    return {key: words.replace("``", "") for key, words in told.items()}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON schema of a model that somebody else may have written, each field with what it is."""
    return _tell(model, model.model_json_schema())


class Described(BaseModel):
    """A model whose JSON schema says of each field what its docstring says."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Returns the schema, descriptions added."""
        found = handler(schema)
        _tell(cls, handler.resolve_ref_schema(found))
        return found


def _tell(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    schema["description"] = inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:")[0]
    for key, words in attributes(model).items():
        schema.get("properties", {}).get(key, {}).setdefault("description", words)
    return schema
