"""The folder of a registered version: an MLflow model made without running the model.

``mlflow.pyfunc.log_model`` would load the encoder twice to try the input example, guess the
requirements in a subprocess and read every metric's history. All of that is known here, so it is
written down instead: a version costs one copy of the weights.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cfcre
from cfcre.errors import StateError
from cfcre.tracking.kinds import RELATIONS, ModelKind

if TYPE_CHECKING:
    from mlflow.models import Model

__all__ = [
    "INPUT_EXAMPLE",
    "STATE_FOLDER",
    "build_model_folder",
    "check_state",
    "pinned_requirements",
]

STATE_FOLDER = "artifacts/state"
INPUT_EXAMPLE: list[dict[str, Any]] = RELATIONS.input_example
# What the prediction path imports; pinned to what is installed when the version is made.
_PACKAGES = (
    "mlflow",
    "numpy",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "tokenizers",
    "torch",
    "transformers",
)
_EXAMPLE_FILE = "input_example.json"
_SERVING_FILE = "serving_input_example.json"


def pinned_requirements() -> list[str]:
    """Requirements of the prediction path, each pinned to its installed version."""
    pins = [f"cfcre=={cfcre.__version__}"]
    for name in _PACKAGES:
        # A local build tag ("+cpu") exists on no package index.
        pins.append(f"{name}=={metadata.version(name).split('+')[0]}")
    return pins


def build_model_folder(
    folder: Path, state_dir: Path, model: Model, kind: ModelKind = RELATIONS
) -> None:
    """Write the MLflow model folder of a state.

    Args:
        folder: Folder to create.
        state_dir: State; copied to ``artifacts/state``.
        model: MLflow's model record, with run and model ids; signature and flavour are added.
        kind: What the state is.

    Raises:
        StateError: The folder is no state of that kind, or holds a pickle.
    """
    import mlflow.pyfunc
    from mlflow.types import DataType, ParamSchema, ParamSpec

    check_state(state_dir, kind)
    # No input_example here: MLflow would load the model to predict it.
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(kind.script),
        artifacts={"state": str(state_dir.absolute())},
        mlflow_model=model,
        pip_requirements=pinned_requirements(),
    )
    if model.signature is None:
        raise StateError(f"MLflow read no signature from the type hints of {kind.script.name}")
    if kind.params:
        model.signature.params = ParamSchema(
            [ParamSpec(name, DataType.long, default) for name, default in kind.params]
        )
    (folder / _EXAMPLE_FILE).write_text(json.dumps(kind.input_example), encoding="utf-8")
    serving = json.dumps({"inputs": kind.input_example})
    (folder / _SERVING_FILE).write_text(serving, encoding="utf-8")
    model.saved_input_example_info = {
        "artifact_path": _EXAMPLE_FILE,
        "serving_input_path": _SERVING_FILE,
        "type": "json_object",
    }
    flavour = model.flavors["python_function"]
    # MLflow notes where the parts came from on this machine, and a pickler that was not used.
    flavour["model_code_path"] = kind.script.name
    saved = flavour["artifacts"]["state"]
    if saved["path"] != STATE_FOLDER:
        # MLflow names the folder after its source; it is found again by one name.
        (folder / saved["path"]).rename(folder / STATE_FOLDER)
    saved["path"] = saved["uri"] = STATE_FOLDER
    flavour.pop("cloudpickle_version", None)
    model.save(str(folder / "MLmodel"))


def check_state(state_dir: Path, kind: ModelKind = RELATIONS) -> None:
    """Refuse a folder that is no state of the kind or that holds a pickle.

    Raises:
        StateError: The file with the digests is missing, or a file has a pickle's suffix.
    """
    if not (state_dir / kind.description).is_file():
        raise StateError(f"{state_dir.name} holds no {kind.description}; give a {kind.noun} folder")
    suffixes = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"}
    pickles = sorted(p.name for p in state_dir.rglob("*") if p.suffix.lower() in suffixes)
    if pickles:
        raise StateError(f"{state_dir.name} holds {pickles[0]}; a state is safetensors and JSON")
