"""Every setting, its default, its bounds and what it changes; the only place for defaults.

Precedence, lowest to highest: the defaults below, ``<home>/config.yaml`` (or ``--config FILE``),
environment variables (``CFCRE_HOME``, ``CFCRE_STORE``, ``CFCRE_LEDGER``, ``MLFLOW_TRACKING_URI``),
command-line options, ``--set section.key=value``.

Secrets are never settings: S3 credentials come from boto3's own chain, database and MLflow
passwords from their URLs in the environment. :meth:`Settings.portable` leaves the connection URLs
out, so that what travels as a pipeline parameter, or is logged, holds no credentials.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cfcre.errors import ConfigurationError

__all__ = [
    "SPAN_PRESETS",
    "AugmentationSettings",
    "ComputeSettings",
    "EncoderSettings",
    "GateSettings",
    "IntakeSettings",
    "LedgerSettings",
    "MemorySettings",
    "MethodSettings",
    "PipelineSettings",
    "Settings",
    "SpanSettings",
    "StoreSettings",
    "StreamSettings",
    "TrackingSettings",
    "load_settings",
    "span_preset",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class StoreSettings(_Section):
    """The object store that holds inbox, quarantine and held-out sets."""

    url: str | None = Field(
        None, description="file:///dir or s3://bucket/prefix; null means <home>/store."
    )
    endpoint_url: str | None = Field(None, description="S3 endpoint of a non-AWS server.")
    region: str | None = Field(None, description="S3 region.")
    checksum_mode: Literal["when_required", "when_supported"] = Field(
        "when_required",
        description="boto3's request_checksum_calculation; some S3 servers refuse the other mode.",
    )
    connect_timeout_seconds: float = Field(10.0, gt=0)
    read_timeout_seconds: float = Field(60.0, gt=0)


class LedgerSettings(_Section):
    """The SQL ledger: truth about batches, tasks, leases and promotions."""

    url: str | None = Field(
        None, description="SQLAlchemy URL; null means SQLite in <home>/ledger.db."
    )
    lease_seconds: float = Field(
        600.0, gt=0, description="A claim not renewed for so long may be taken over."
    )
    max_attempts: int = Field(
        3, ge=1, description="A batch whose task raised an error so often is set aside as poison."
    )
    max_interruptions: int = Field(
        10, ge=1, description="The same for attempts whose process vanished (killed, node lost)."
    )
    retry_backoff_seconds: float = Field(
        2.0, ge=0, description="Wait before attempt n+1: this times 2**(n-1), at most 10 minutes."
    )


class TrackingSettings(_Section):
    """MLflow tracking and registry."""

    uri: str | None = Field(
        None, description="MLflow tracking URI; null means SQLite in <home>/mlflow.db."
    )
    artifact_root: str | None = Field(
        None, description="Artifact root of a new experiment; null means <home>/mlartifacts."
    )
    experiment: str = Field("cfcre", min_length=1)
    registered_model: str = Field("cfcre", min_length=1, pattern=r"^[^/:]+$")


class IntakeSettings(_Section):
    """Limits and rules for what a batch may hold."""

    min_rows_per_relation: int = Field(
        10, ge=1, description="Accepted rows a relation must have; fewer rejects the batch."
    )
    min_train_rows_per_relation: int = Field(
        2, ge=1, description="Of those, rows that fall into the train split."
    )
    max_object_bytes: int = Field(2_000_000_000, ge=1, description="Largest stored object read.")
    max_decompressed_bytes: int = Field(4_000_000_000, ge=1)
    max_decompression_ratio: float = Field(200.0, gt=1)
    max_rows: int = Field(2_000_000, ge=1)
    max_text_chars: int = Field(20_000, ge=1, description="Longer rows are quarantined.")
    no_relation_labels: tuple[str, ...] = Field(
        ("no_relation", "Other", "NA"),
        description="Labels that mean 'none'; rows that carry one are quarantined.",
    )
    split_ratio: tuple[int, int, int] = Field(
        (3, 1, 1), description="train : validation : test for rows without a declared split."
    )


class EncoderSettings(_Section):
    """The sentence encoder (eq. 1)."""

    name: str = Field(
        "compact",
        description="compact (all-MiniLM-L6-v2), paper (bert-base-uncased), a hub name or a path.",
    )
    max_length: int = Field(
        256, ge=16, le=512, description="Word pieces read; longer rows keep the entities' window."
    )
    hidden_dropout: float = Field(
        0.1, ge=0, lt=1, description="In the transformer, in training; attention has none."
    )
    representation_dropout: float = Field(0.1, ge=0, lt=1, description="On the two marker states.")


class MethodSettings(_Section):
    """The continual-learning method; symbols as in the CF-CRE paper."""

    name: str = Field("cf-cre", description="cf-cre or finetune.")
    epoch1: int = Field(2, ge=1, description="Epochs of L_new (eq. 2) over D_k and augmentation.")
    epoch2: int = Field(2, ge=0, description="Rounds of replay and reconsolidation.")
    iter1: int = Field(1, ge=0, description="Passes over A_k = M + D_k with L_A in a round.")
    iter2: int = Field(1, ge=0, description="Passes over M with L_R in a round.")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-4, gt=0, description="AdamW, encoder. Paper, BERT-base: 1e-5.")
    head_learning_rate: float = Field(3e-3, gt=0, description="AdamW, relation embeddings and MLP.")
    weight_decay: float = Field(1e-2, ge=0)
    gradient_clip: float = Field(10.0, gt=0, description="Largest gradient norm.")
    similarity_scale: float = Field(
        20.0,
        gt=0,
        description="Factor on the cosine in L_new, L_rp, L_fl and L_rs; 1 is the paper's text.",
    )
    lambda1: float = Field(0.1, ge=0, description="Weight of L_cl in L_A.")
    lambda2: float = Field(0.9, ge=0, description="Weight of L_rp in L_A.")
    gamma1: float = Field(0.5, ge=0, description="Weight of L_fl in L_R.")
    gamma2: float = Field(0.5, ge=0, description="Weight of L_rs in L_R.")
    tau: float = Field(0.1, gt=0, description="Temperature of L_cl (eq. 5).")
    alpha: float = Field(0.1, ge=0, description="Similarity margin of the set in eq. 8.")
    embedding_weight: float = Field(
        1 / 11,
        ge=0,
        le=1,
        description="Share of the relation embedding in the prediction prototype; 0 is eq. 3.",
    )
    projection_hidden: int = Field(384, ge=1, description="Hidden size of the MLP in eq. 4.")
    projection_size: int = Field(128, ge=1, description="Output size of the MLP in eq. 4.")


class AugmentationSettings(_Section):
    """Adversarial class augmentation (ACA), used in phase one only."""

    hybrid: bool = Field(
        True, description="Classes of one relation's head part and another's tail."
    )
    reversed: bool = Field(True, description="Classes with head and tail swapped.")
    symmetric_relations: tuple[str, ...] = Field(
        (
            "P26",
            "P3373",
            "per:siblings",
            "per:spouse",
            "per:alternate_names",
            "org:alternate_names",
            "per:other_family",
        ),
        description="Relations that hold both ways; they get no reversed class.",
    )


class MemorySettings(_Section):
    """Episodic memory."""

    size: int = Field(
        10, ge=1, description="Examples kept a relation (K-means, nearest to centre)."
    )


class GateSettings(_Section):
    """When a candidate replaces the champion."""

    min_new_task_accuracy: float = Field(0.5, ge=0, le=1, description="Floor on the newest task.")
    max_mean_forgetting: float = Field(0.25, ge=0, le=1)
    max_relation_drop: float = Field(
        0.6, ge=0, le=1, description="Largest fall of one relation's accuracy against the champion."
    )
    min_relation_support: int = Field(
        5, ge=1, description="Test rows below which a relation's drop is shown but not judged."
    )
    max_negative_flip_rate: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of rows the champion had right and the candidate wrong.",
    )


#: What each preset of the section ``spans`` changes against its defaults.
SPAN_PRESETS: dict[str, dict[str, Any]] = {
    "spanspanbert": {},
    "spert": {
        "width_embedding": 25,
        "dropout": 0.1,
        "temperature": 1.0,
        "entity_loss": "cross-entropy",
        "entity_negative_ratio": 0,
        "entity_negative_floor": 100,
        "relation_negative_ratio": 0,
        "relation_negative_floor": 100,
        "batch_size": 2,
    },
}


class SpanSettings(_Section):
    """Joint entity and relation extraction (SPANSpanBERT, SpERT)."""

    preset: Literal["spanspanbert", "spert"] = Field(
        "spanspanbert",
        description="Where the values below start from; a value that is set as well stays as set.",
    )
    encoder: str = Field(
        "compact",
        description="compact, paper, spanbert (cased; weights non-commercial), hub name or path.",
    )
    max_length: int = Field(
        512, ge=16, description="Word pieces read; a longer document is refused, never cut."
    )
    max_span_width: int = Field(10, ge=1, le=64, description="Words of the widest span.")
    width_embedding: int = Field(50, ge=1, description="Size of the width embedding; SpERT: 25.")
    dropout: float = Field(0.2, ge=0, lt=1, description="On span and pair representations.")
    hidden_dropout: float = Field(0.1, ge=0, lt=1, description="In the transformer, in training.")
    temperature: float = Field(
        1.0, gt=0, description="T of the entity softmax, softmax(logits / T); 1 is the plain one."
    )
    entity_loss: Literal["poly", "cross-entropy"] = Field("poly")
    poly_epsilon: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        description="ε_1 … ε_N of PolyLoss: cross entropy + Σ ε_j (1 − p_true)^j.",
    )
    entity_negative_ratio: int = Field(
        30, ge=0, description="Spans without an entity drawn for each entity of a sentence."
    )
    entity_negative_floor: int = Field(
        30, ge=0, description="At least so many a sentence, also where it has no entity."
    )
    relation_negative_ratio: int = Field(
        30, ge=0, description="Pairs of entities without a relation drawn for each related pair."
    )
    relation_negative_floor: int = Field(30, ge=0, description="At least so many a sentence.")
    entity_threshold: float = Field(
        0.0, ge=0, le=1, description="Least probability of a predicted entity's type."
    )
    relation_threshold: float = Field(
        0.4, ge=0, le=1, description="Least probability of a predicted relation."
    )
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(8, ge=1, description="Documents of one update.")
    batch_token_budget: int = Field(
        4096,
        ge=64,
        description="Word pieces, padding included, in one forward pass of training; a larger "
        "batch is run in parts whose gradients are added up.",
    )
    learning_rate: float = Field(5e-5, gt=0, description="AdamW; rises, then falls to zero.")
    weight_decay: float = Field(
        1e-2, ge=0, description="Not on biases and layer normalisation, as in SpERT."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the updates with a rising rate.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        # An unknown preset is left for the field's own check to refuse.
        return {**SPAN_PRESETS.get(str(data.get("preset")), {}), **data}


def span_preset(name: str) -> dict[str, Any]:
    """A preset of ``spans`` written out: dotted key to value, for everything a preset decides.

    On the command line a preset is meant to hold whatever a configuration file says.

    Raises:
        ConfigurationError: There is no such preset.
    """
    if name not in SPAN_PRESETS:
        raise ConfigurationError(
            f"there is no preset {name!r} of spans; accepted: {', '.join(SPAN_PRESETS)}"
        )
    values = SpanSettings.model_validate({"preset": name}).model_dump()
    decided = {"preset", *(key for preset in SPAN_PRESETS.values() for key in preset)}
    return {f"spans.{key}": value for key, value in values.items() if key in decided}


class ComputeSettings(_Section):
    """Where and how the arithmetic runs."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor multiplies it natively."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 means all cores.")
    inference_token_budget: int = Field(
        4096, ge=64, description="Word pieces, padding included, in one inference batch."
    )


class StreamSettings(_Section):
    """How tasks follow each other."""

    parent: Literal["latest", "champion"] = Field(
        "latest", description="State the next task starts from: the newest, or the champion's."
    )


class PipelineSettings(_Section):
    """The Kubeflow pipeline."""

    image: str = Field("ghcr.io/cfcre/cfcre-python:0.1.0", description="Image of the components.")
    gpu_resource: str = Field("nvidia.com/gpu")
    gpu_count: int = Field(1, ge=0, description="GPUs of the two training components.")
    gpu_node_selector: dict[str, str] = Field(
        default_factory=lambda: {"nvidia.com/gpu.present": "true"}
    )
    gpu_toleration_key: str = Field("nvidia.com/gpu")
    train_memory: str = Field("8Gi")
    train_cpu: str = Field("2")
    keep_runs: int = Field(5, ge=0, description="Finished local run folders kept for debugging.")


class Settings(_Section):
    """All settings of one home."""

    home: Path = Field(Path(".cfcre"), description="Folder of everything embedded.")
    seed: int = Field(2021, ge=0, description="Seed of every random part.")
    store: StoreSettings = StoreSettings()
    ledger: LedgerSettings = LedgerSettings()
    tracking: TrackingSettings = TrackingSettings()
    intake: IntakeSettings = IntakeSettings()
    encoder: EncoderSettings = EncoderSettings()
    method: MethodSettings = MethodSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    memory: MemorySettings = MemorySettings()
    gate: GateSettings = GateSettings()
    spans: SpanSettings = SpanSettings()
    compute: ComputeSettings = ComputeSettings()
    stream: StreamSettings = StreamSettings()
    pipeline: PipelineSettings = PipelineSettings()

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
        """Settings without home and connection URLs: safe to log and to pass to another host."""
        data = self.model_dump(mode="json")
        del data["home"]
        del data["store"]["url"], data["ledger"]["url"], data["tracking"]["uri"]
        return data


def _assign(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    node = data
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ConfigurationError(f"setting {dotted!r}: {name!r} is a value, not a section")
    node[leaf] = value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise ConfigurationError(f"cannot read the configuration {path}: {problem}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"the configuration {path} holds a {type(data).__name__}; "
            "it must be a mapping of sections as 'cfcre config show' prints it"
        )
    return data


def load_settings(
    *,
    home: Path | str | None = None,
    config_file: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Build the settings from all their sources.

    Args:
        home: Home folder; default ``$CFCRE_HOME``, then ``./.cfcre``.
        config_file: YAML file; default ``<home>/config.yaml`` where it exists.
        overrides: Dotted key to value, from command-line options; None values are ignored.
        assignments: ``section.key=value`` strings of ``--set``; values are read as YAML. ``method``
            stands for ``method.name`` and ``encoder`` for ``encoder.name``.
        base: Nested settings below the file, as :meth:`Settings.portable` gives them.
        environ: Environment to read.

    Raises:
        ConfigurationError: An unknown key, a value out of bounds, or an unreadable file.
    """
    home_path = Path(home or environ.get("CFCRE_HOME") or ".cfcre")
    data: dict[str, Any] = {
        k: dict(v) if isinstance(v, Mapping) else v for k, v in (base or {}).items()
    }
    path = Path(config_file) if config_file else home_path / "config.yaml"
    if config_file or path.is_file():
        for section, value in _read_file(path).items():
            if isinstance(value, dict) and isinstance(data.get(section), dict):
                data[section].update(value)
            else:
                data[section] = value
    for variable, key in (
        ("CFCRE_STORE", "store.url"),
        ("CFCRE_STORE_ENDPOINT", "store.endpoint_url"),
        ("CFCRE_LEDGER", "ledger.url"),
        ("MLFLOW_TRACKING_URI", "tracking.uri"),
    ):
        if environ.get(variable):
            _assign(data, key, environ[variable])
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(data, key, value)
    for item in assignments:
        key, separator, text = item.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"--set takes section.key=value, got {item!r}")
        key = {"method": "method.name", "encoder": "encoder.name"}.get(key, key)
        try:
            value = yaml.safe_load(text)
            if isinstance(value, str):
                # YAML 1.1 reads 1e-5 as text; settings are written that way in every paper.
                value = float(value) if _is_float(value) else value
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {key}: {text!r} is not a YAML value") from error
        _assign(data, key, value)
    data["home"] = str(home_path)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error)) from error


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {where!r}; 'cfcre config show' lists every setting"
    # The value itself is left out: a connection URL may hold a password.
    return f"setting {where!r}: {problem['msg']}; 'cfcre config show' lists every setting"
