"""A tiny cased encoder, random documents, and the literal model of benchmarks/."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The literal model is shared with the benchmark; it is no part of the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from span_documents import LETTERS, corpus, types


def write_encoder(folder: Path, *, cased: bool, tokenizer: bool) -> Path:
    """A two-layer BERT with random weights; with ``tokenizer=False`` as SpanBERT is published."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    letters = [c for c in map(chr, range(33, 127)) if cased or not c.isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    words = LETTERS if cased else sorted({word.lower() for word in LETTERS})
    vocabulary += ["##" + c for c in letters] + [w for w in words if w not in letters]
    vocabulary += ["Paris", "paris"] if cased else ["paris"]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=48,
                max_position_embeddings=128,
                initializer_range=0.2,
            ),
            add_pooling_layer=False,
        )
    model.save_pretrained(str(folder))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    if tokenizer:
        from cfcre.data.tokenizer_files import load_backend

        load_backend(folder).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def span_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cased encoder with a tokenizer; usable as ``spans.encoder``."""
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny", cased=True, tokenizer=True)


@pytest.fixture(scope="session")
def make_encoder():
    """Function ``(folder, cased=, tokenizer=) -> Path``."""
    return write_encoder


@pytest.fixture
def span_settings(span_encoder: Path, tmp_path: Path):
    """Function ``(**spans settings) -> Settings`` over the tiny encoder, on one thread."""
    from cfcre.config import load_settings

    def settings(**changed):
        return load_settings(
            home=tmp_path / "home",
            overrides={
                "spans.encoder": str(span_encoder),
                "spans.max_length": 128,
                "compute.precision": "float32",
                "compute.threads": 1,
                **{f"spans.{name}": value for name, value in changed.items()},
            },
            environ={},
        )

    return settings


@pytest.fixture(scope="session")
def label_types():
    """Three entity types and three relation types, one of them symmetric."""
    return types()


@pytest.fixture(scope="session")
def make_documents():
    """Function ``(count, seed) -> list[Document]`` with random lengths, entities and relations."""
    return corpus
