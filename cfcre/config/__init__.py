"""Every setting, its default, its bounds and what it changes; the only place for defaults.

One file a subject: :mod:`~cfcre.config.connections`, :mod:`~cfcre.config.learning`,
:mod:`~cfcre.config.methods`, :mod:`~cfcre.config.cluster`, :mod:`~cfcre.config.services`,
:mod:`~cfcre.config.spans`, :mod:`~cfcre.config.joint`, :mod:`~cfcre.config.extraction`.

Precedence, lowest to highest: the defaults below, ``<home>/config.yaml`` (or ``--config FILE``),
environment variables (``CFCRE_HOME``, ``CFCRE_STORE``, ``CFCRE_LEDGER``, ``MLFLOW_TRACKING_URI``),
command-line options, ``--set section.key=value``.

Secrets are never settings: S3 credentials come from boto3's own chain, database and MLflow
passwords from their URLs in the environment. :meth:`Settings.portable` leaves the connection URLs
out, so that what travels as a pipeline parameter, or is logged, holds no credentials.
"""

from __future__ import annotations

from cfcre.config.cluster import (
    KubeflowSettings,
    PipelineSettings,
    TrainJobSettings,
)
from cfcre.config.connections import (
    IntakeSettings,
    LedgerSettings,
    StoreSettings,
    TrackingSettings,
)
from cfcre.config.extraction import ExtractionSettings
from cfcre.config.joint import JointSettings
from cfcre.config.learning import (
    AugmentationSettings,
    ComputeSettings,
    EncoderSettings,
    GateSettings,
    MemorySettings,
    MethodName,
    MethodSettings,
    StreamSettings,
)
from cfcre.config.loading import load_settings
from cfcre.config.methods import CearSettings, CrlSettings, RpCreSettings
from cfcre.config.services import (
    ServingSettings,
    TriggerSettings,
)
from cfcre.config.settings import Settings
from cfcre.config.spans import SPAN_PRESETS, SpanSettings, span_preset

__all__ = [
    "SPAN_PRESETS",
    "AugmentationSettings",
    "CearSettings",
    "ComputeSettings",
    "CrlSettings",
    "EncoderSettings",
    "ExtractionSettings",
    "GateSettings",
    "IntakeSettings",
    "JointSettings",
    "KubeflowSettings",
    "LedgerSettings",
    "MemorySettings",
    "MethodName",
    "MethodSettings",
    "PipelineSettings",
    "RpCreSettings",
    "ServingSettings",
    "Settings",
    "SpanSettings",
    "StoreSettings",
    "StreamSettings",
    "TrackingSettings",
    "TrainJobSettings",
    "TriggerSettings",
    "load_settings",
    "span_preset",
]
