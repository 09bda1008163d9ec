"""What a benchmark runs: methods, ablations and sweeps, each on every order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from cfcre.errors import ConfigurationError
from cfcre.methods.registry import METHODS, get_method

__all__ = ["BASE", "PlannedRun", "Variant", "ablations", "plan_runs", "sweeps", "variants"]

#: The method that ablations and sweeps are about.
BASE = "cf-cre"
#: A swept weight, and the other weight of the same sum: together they are 1.
_PARTNERS = {"lambda1": "lambda2", "gamma1": "gamma2"}
_OFF = {
    "L_cl": ("method.lambda1=0", "method.lambda2=1"),
    "L_fl": ("method.gamma1=0", "method.gamma2=1"),
}


@dataclass(frozen=True)
class Variant:
    """A method with settings of its own.

    Attributes:
        label: Name in tables.
        group: ``method``, ``ablation``, or the swept setting.
        method: Name in the registry.
        assignments: ``section.key=value``, over the benchmark's settings.
        value: The swept value; None elsewhere.
    """

    label: str
    group: str
    method: str
    assignments: tuple[str, ...] = field(default=())
    value: float | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A variant on one order of tasks."""

    variant: Variant
    order: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant.label} order {self.order}"


def variants(methods: Sequence[str]) -> list[Variant]:
    """One variant a method.

    Raises:
        ConfigurationError: There is no such method.
    """
    for name in methods:
        get_method(name)
    return [Variant(name, "method", name) for name in methods]


def ablations() -> list[Variant]:
    """CF-CRE, with one of its two losses, and with neither, which is EMAR-ACA."""
    bare = (
        Variant("emar-aca", "ablation", "emar-aca")
        if "emar-aca" in METHODS
        else Variant("emar-aca", "ablation", BASE, (*_OFF["L_cl"], *_OFF["L_fl"]))
    )
    return [
        Variant(BASE, "ablation", BASE),
        Variant("+CL", "ablation", BASE, _OFF["L_fl"]),
        Variant("+FL", "ablation", BASE, _OFF["L_cl"]),
        bare,
    ]


def sweeps(text: str) -> list[Variant]:
    """Read ``lambda1=0.1,0.3,gamma1=0.5``: values of λ1 and γ1, with λ2 = 1 - λ1, γ2 = 1 - γ1.

    Raises:
        ConfigurationError: Something else is swept, or a value is not within 0 and 1.
    """
    found: dict[str, list[float]] = {}
    name = ""
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        head, separator, value = part.rpartition("=")
        name = head.strip() if separator else name
        if name not in _PARTNERS:
            raise ConfigurationError(
                f"--sweep takes {' and '.join(_PARTNERS)}, as in lambda1=0.1,0.3,gamma1=0.5; "
                f"got {part!r}"
            )
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise ConfigurationError(f"--sweep {name}: {value!r} is not a number from 0 to 1")
        found.setdefault(name, []).append(number)
    return [
        Variant(
            f"{BASE} {name}={value:g}",
            name,
            BASE,
            (f"method.{name}={value:g}", f"method.{_PARTNERS[name]}={round(1 - value, 6):g}"),
            value,
        )
        for name, values in found.items()
        for value in sorted(set(values))
    ]


def plan_runs(chosen: Sequence[Variant], orders: Sequence[int]) -> list[PlannedRun]:
    """All combinations, order by order, so that an unfinished benchmark has whole columns first."""
    return [PlannedRun(v, order) for order, v in itertools.product(orders, chosen)]
