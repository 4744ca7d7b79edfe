"""The settings of a point, as a suite's `sweep:` combines them: a pydantic model a codec, and one line for a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from bench.errors import unknown

M = TypeVar("M", bound="Settings")


class Settings(BaseModel):
    """Fields that were not given are None or their default; `given` tells which were."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self, *names: str) -> tuple[str, ...]:
        """Those of `names` that were given."""
        return tuple(name for name in names if name in self.model_fields_set)


def read_settings(model: type[M], settings: Mapping[str, float | str]) -> M:
    """ValueError names the setting and what it may be."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            raise ValueError(unknown("setting", name, model.model_fields)) from None
        told = first["msg"].removeprefix("Value error, ")
        raise ValueError(told if first["type"] == "value_error" else f"{name}: {told.lower()}, got {first['input']!r}") from None


def _number(value: object) -> object:
    if isinstance(value, (str, bool)):
        raise ValueError(f"a setting must be a number here, got {value!r}")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
