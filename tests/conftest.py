"""Fixtures shared by all tests: a tiny encoder made on the spot, and small relation corpora."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from postgres_server import Databases, databases

# Set before torch, MLflow or Great Expectations are imported anywhere in the tests. The first five
# take the instructions of one kind of processor everywhere, on one thread: sums are rounded alike,
# and what a tiny model learns in a test does not depend on the machine. Threads that wait for
# each other on processors which other tests use cost a fifth more.
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for _name in ("CFCRE_HOME", "CFCRE_STORE", "CFCRE_LEDGER", "CFCRE_OWNER", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)

_UNTRACED = {"kill", "server", "slow"}
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest tests first: side by side, none is left over at the end.

    Tests that mostly wait for other processes, and those that repeat one thing over hundreds of
    generated inputs, are not traced for coverage: tracing makes plain Python a third slower, and
    what they run others run too.
    """
    for item in items:
        generated = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if generated or any(mark.name in _UNTRACED for mark in item.iter_markers()):
            item.add_marker("no_cover")
    weight = {"kill": 2, "slow": 1}
    heavy: dict[Path, int] = {}
    for item in items:
        marks = [weight.get(mark.name, 0) for mark in item.iter_markers()]
        heavy[item.path] = max(heavy.get(item.path, 0), *marks, 0)
    items.sort(key=lambda item: -heavy[item.path])


@pytest.fixture(autouse=True)
def _no_stand_in_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what MLflow leaves when threads load models side by side: a stand-in for a module.

    Hypothesis reads the file of every module.
    """
    if "dbutils" in sys.modules and not isinstance(sys.modules["dbutils"], ModuleType):
        monkeypatch.delitem(sys.modules, "dbutils")


_VERBS = {
    "founded": ["founded", "set up", "started"],
    "born in": ["was born in", "came into the world in", "is a native of"],
    "owns": ["owns", "holds all shares of", "bought"],
    "wrote": ["wrote", "is the author of", "penned"],
    "located in": ["lies in", "is located in", "stands in"],
    "married to": ["married", "is the spouse of", "wed"],
}
_LEFT = ["ada", "boris", "carla", "dmitri", "elena", "farid", "greta", "hugo"]
_RIGHT = ["orion", "pallas", "quito", "riga", "sofia", "tunis", "utrecht", "vienna"]
_FILLER = ["last year", "in spring", "as reported", "by all accounts", "long ago", "it is said"]


def sentence_rows(relations: list[str], count: int, seed: int = 0) -> list:
    """``count`` distinct template sentences of each relation, as examples."""
    from cfcre.data.schema import RelationExample, Span

    generator = random.Random(seed)
    rows = []
    for relation in relations:
        seen: set[str] = set()
        while len(seen) < count:
            left, right = generator.choice(_LEFT), generator.choice(_RIGHT)
            text = (
                f"{generator.choice(_FILLER)} {left} {generator.choice(_VERBS[relation])} {right} "
                f"{generator.choice(_FILLER)} {generator.randrange(100)}"
            )
            if text in seen:
                continue
            seen.add(text)
            head, tail = text.index(left), text.rindex(right)
            rows.append(
                RelationExample(
                    text, Span(head, head + len(left)), Span(tail, tail + len(right)), relation
                )
            )
    return rows


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """A running Postgres; skips, saying why, where there is none."""
    with databases() as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """An empty Postgres database."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def relation_rows():
    """Function ``(relations, count, seed=0) -> list[RelationExample]``; six relations exist."""
    return sentence_rows


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT of 48 dimensions with random weights and a word-level vocabulary.

    Small enough to learn a task in a second; usable as ``encoder.name``.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-encoder")
    words = {w for forms in _VERBS.values() for form in forms for w in form.split()}
    words |= {*_LEFT, *_RIGHT, *(w for f in _FILLER for w in f.split())}
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = ["[PAD]", "[unused0]", "[unused1]", "[unused2]", "[unused3]", "[UNK]", "[CLS]"]
    vocabulary += ["[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
    vocabulary += sorted(words - set(vocabulary))
    backend = Tokenizer(
        models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary.index("[CLS]")), ("[SEP]", vocabulary.index("[SEP]"))],
    )
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=96,
                max_position_embeddings=512,
                initializer_range=0.2,
            ),
            add_pooling_layer=False,
        )
    model.save_pretrained(str(folder))
    backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def tiny_settings(tiny_encoder: Path, tmp_path: Path):
    """Settings of a home in ``tmp_path`` with the tiny encoder and quick training."""
    from cfcre.config import load_settings

    return load_settings(
        home=tmp_path / "home",
        overrides={
            "encoder.name": str(tiny_encoder),
            "encoder.max_length": 64,
            "method.learning_rate": 2e-3,
            "method.head_learning_rate": 5e-3,
            "method.epoch1": 10,
            "method.epoch2": 4,
            "method.batch_size": 16,
            "method.projection_hidden": 32,
            "method.projection_size": 16,
            "compute.precision": "float32",
            "compute.threads": 1,
        },
        environ={},
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ``../shared/data``; skips, saying why, where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the development data ../shared/data is not on this machine")
    return folder
