"""All settings of one home, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

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
    MethodSettings,
    StreamSettings,
)
from cfcre.config.methods import CearSettings, CfCrePlusSettings, CrlSettings, RpCreSettings
from cfcre.config.section import Section
from cfcre.config.services import (
    ServingSettings,
    TriggerSettings,
)
from cfcre.config.spans import SpanSettings

__all__ = ["Settings"]


class Settings(Section):
    """All settings of one home."""

    home: Path = Field(Path(".cfcre"), description="Folder of everything embedded.")
    seed: int = Field(2021, ge=0, description="Seed of every random part.")
    store: StoreSettings = StoreSettings()
    ledger: LedgerSettings = LedgerSettings()
    tracking: TrackingSettings = TrackingSettings()
    intake: IntakeSettings = IntakeSettings()
    encoder: EncoderSettings = EncoderSettings()
    method: MethodSettings = MethodSettings()
    rp_cre: RpCreSettings = RpCreSettings()
    crl: CrlSettings = CrlSettings()
    cf_cre_plus: CfCrePlusSettings = CfCrePlusSettings()
    cear: CearSettings = CearSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    memory: MemorySettings = MemorySettings()
    gate: GateSettings = GateSettings()
    spans: SpanSettings = SpanSettings()
    joint: JointSettings = JointSettings()
    extraction: ExtractionSettings = ExtractionSettings()
    compute: ComputeSettings = ComputeSettings()
    stream: StreamSettings = StreamSettings()
    pipeline: PipelineSettings = PipelineSettings()
    trigger: TriggerSettings = TriggerSettings()
    kubeflow: KubeflowSettings = KubeflowSettings()
    serving: ServingSettings = ServingSettings()
    trainjob: TrainJobSettings = TrainJobSettings()

    @property
    def store_url(self) -> str:
        """URL of the object store."""
        return self.store.url or (self.home.absolute() / "store").as_uri()

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger. May hold a password: never log it."""
        return self.ledger.url or f"sqlite:///{self.home.absolute() / 'ledger.db'}"

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI. May hold a password: never log it."""
        return self.tracking.uri or f"sqlite:///{self.home.absolute() / 'mlflow.db'}"

    @property
    def artifact_root(self) -> str | None:
        """Artifact root of a new MLflow experiment; None leaves it to a remote server."""
        if self.tracking.artifact_root is not None:
            return self.tracking.artifact_root
        return (
            (self.home.absolute() / "mlartifacts").as_uri() if self.tracking.uri is None else None
        )

    def portable(self) -> dict[str, Any]:
        """Settings without home and connections: safe to log and to pass to another host.

        How a watcher is woken and a server serves is left out too: no model was made with it.
        """
        data = self.model_dump(mode="json")
        del data["home"], data["kubeflow"], data["trigger"], data["serving"]
        del data["store"]["url"], data["ledger"]["url"], data["tracking"]["uri"]
        return data
