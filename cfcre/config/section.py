"""What every section of the settings is: checked when it is built, and never changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """A section of the settings: unknown keys are refused, values are checked and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
