"""Pictures: drawn for every shape of evaluation and every kind of name, equal for equal input."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfcre.evaluation import figures
from cfcre.evaluation.embedding_map import _project
from cfcre.evaluation.figure_style import display_names

NAMES = [
    "founded by",
    "出生地",
    "الجنسية",
    "price in $USD and $EUR",
    "$\\frac{broken$",
    "a_b^c",
    "<script>alert(1)</script>",
    "\N{GRINNING FACE}",
    "tab\there\nand\x00there",
    "",
    "headquarters location of the organisation that owns it",
    "headquarters location of the organisation that runs it",
]


def evaluation(tasks: int, relations: list[str]) -> dict[str, Any]:
    matrix = [[0.9 - 0.05 * (t - k) for k in range(t + 1)] for t in range(tasks)]
    return {
        "accuracy_matrix": matrix,
        "per_relation": {name: {"accuracy": 0.8, "support": 10} for name in relations},
        "similarity": {"relations": relations, "matrix": []},
        "similar_confusions": [
            {"true": a, "predicted": b, "count": 1 + i % 5, "similarity": 0.5}
            for i, (a, b) in enumerate(itertools.pairwise(relations))
        ],
    }


def rows(count: int, size: int = 16, seed: int = 0) -> np.ndarray[Any, Any]:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    normed: np.ndarray[Any, Any] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return normed


def draw(folder: Path, tasks: int, relations: list[str]) -> dict[str, Path]:
    return figures.draw_all(
        evaluation(tasks, relations),
        folder,
        prototypes=rows(len(relations)),
        memory=rows(3 * len(relations), seed=1),
        memory_relations=[name for name in relations for _ in range(3)],
        task_of={name: 1 + i % max(tasks, 1) for i, name in enumerate(relations)},
    )


@pytest.mark.parametrize(
    ("tasks", "relations"),
    [(3, NAMES), (1, ["only"]), (0, []), (12, [f"relation {i}" for i in range(100)])],
    ids=["nasty", "one", "none", "many"],
)
def test_every_picture_is_drawn_without_a_warning(
    tmp_path: Path, tasks: int, relations: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = draw(tmp_path, tasks, relations)
    assert list(paths) == [
        "accuracy_matrix",
        "accuracy_by_task",
        "similar_confusions",
        "embedding_map",
    ]
    for path in paths.values():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 200 < image.width < 2500
            assert 200 < image.height < 2500
            # Something is drawn, and it is not only ink.
            assert len(np.unique(np.asarray(image.convert("L")))) > 3
    assert not list(tmp_path.glob(".*"))  # nothing half-written stays


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    first = draw(tmp_path / "a", 2, NAMES)
    again = draw(tmp_path / "b", 2, NAMES)
    assert [p.read_bytes() for p in first.values()] == [p.read_bytes() for p in again.values()]


def test_a_missing_accuracy_leaves_its_cell_empty(tmp_path: Path) -> None:
    document = {"accuracy_matrix": [[0.9], [None, float("nan")]]}
    figures.accuracy_matrix(document, tmp_path / "m.png")
    figures.accuracy_by_task(document, tmp_path / "l.png")
    empty = {"accuracy_matrix": [[0.9], [0.5, 0.5]]}
    figures.accuracy_matrix(empty, tmp_path / "full.png")
    dark = [
        np.asarray(Image.open(tmp_path / name).convert("L")) < 230 for name in ("m.png", "full.png")
    ]
    assert dark[0].sum() < dark[1].sum()


def test_no_confusion_is_said(tmp_path: Path) -> None:
    document = {**evaluation(2, ["a", "b"]), "similar_confusions": []}
    with Image.open(figures.similar_confusions(document, tmp_path / "c.png")) as image:
        assert image.width > 200


def test_labels_are_short_distinct_and_drawable() -> None:
    labels = display_names(NAMES)
    assert len(set(labels)) == len(NAMES)
    assert labels[0] == "founded by"
    assert labels[3] == "price in $USD and $EUR"
    assert labels[6] == "<script>alert(1)</script>"
    assert labels[8] == "tab here and there"
    assert labels[10].startswith("#11 headquarters")
    assert labels[11].startswith("#12 headquarters")
    assert all(len(label) <= 30 + len("#12 ") for label in labels)
    assert all(label.isprintable() for label in labels)


def test_a_script_without_a_font_shows_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from cfcre.evaluation import figure_style

    latin = frozenset(range(32, 127)) | {0x25A1}
    monkeypatch.setattr(figure_style, "_drawable", lambda: latin)
    assert display_names(["born in", "出生地", "生"]) == ["born in", "#2 □□□", "#3 □"]


def test_the_map_is_the_principal_plane() -> None:
    """Against a singular value decomposition of the centred rows."""
    prototypes, memory = rows(6), rows(20, seed=1)
    points, share = _project(prototypes, memory)
    together = np.concatenate([prototypes, memory])
    centred = together - together.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    # Each axis is defined up to its sign.
    np.testing.assert_allclose(np.abs(points), np.abs(u[:, :2] * s[:2]), atol=1e-10)
    np.testing.assert_allclose(share, (s**2 / (s**2).sum())[:2])


def test_a_map_of_equal_rows_has_no_plane() -> None:
    points, share = _project(np.ones((4, 8)), np.zeros((0, 8)))
    assert not points.any()
    assert not share.any()
