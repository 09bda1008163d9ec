"""A learner state with real parts but tiny weights, settings of a fresh home, and a server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_cases import free_port, make_state, serving

from cfcre.config import Settings, load_settings

ENCODER_SIZE = 32
WORDS = ["born", "in", "works", "for", "the", "a", "was", "city", "ada", "london", ".", "##s"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "CFCRE_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing else; making one takes seconds."""
    from cfcre.tracking.connection import Connection

    home = tmp_path_factory.mktemp("empty")
    assert Connection(load_settings(home=home, environ={})).client is not None
    return home / "mlflow.db"


def embedded(home: Path, empty_store: Path) -> Settings:
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    return load_settings(home=home, environ={})


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path) -> Settings:
    """An embedded store, tables made."""
    return embedded(tmp_path / "home", empty_store)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer BERT with a word-piece tokenizer, random but seeded."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    letters = [chr(c) for c in range(97, 123)]
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(5)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += WORDS + letters + [f"##{c}" for c in letters]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=ENCODER_SIZE,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def state_dir(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Not called "state": its own name must not matter.
    folder = tmp_path_factory.mktemp("states") / "consolidated"
    return make_state(folder, tiny_encoder, ["born in", "works for", "出生地 <b>"])


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server that proxies artifacts, on a loopback port."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    env = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/server.db",
        "MLFLOW_ARTIFACTS_DESTINATION": (folder / "artifacts").as_uri(),
    }
    argv = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    with serving(argv, env, f"http://127.0.0.1:{port}/health", folder / "log.txt"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["embedded", pytest.param("remote", marks=pytest.mark.server)])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an embedded store, then of a server: the same tests run over both."""
    if request.param == "embedded":
        return embedded(tmp_path / "home", request.getfixturevalue("empty_store"))
    return load_settings(
        home=tmp_path / "home",
        environ={"MLFLOW_TRACKING_URI": request.getfixturevalue("mlflow_server")},
        # One server serves all tests: names keep them apart.
        overrides={
            "tracking.experiment": tmp_path.name,
            "tracking.registered_model": tmp_path.name,
        },
    )
