"""Batch inference on Spark: the registered version as a column function, through MLflow.

::

    python -m cfcre.tracking.spark INPUT OUTPUT --model models:/cfcre@champion --top-k 3

reads rows with ``text``, ``head`` and ``tail`` (Parquet or JSON Lines, spans as structs of
``start`` and ``end``), adds ``answer``, and writes Parquet to ``OUTPUT/predicted``; rows whose
spans cannot be used go to ``OUTPUT/refused``, so that one bad row does not end a job of millions.

Needs the extra ``spark`` and Java 17 or later. Every executor needs this package at the same
version; its Python workers load the model once each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cfcre.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["RESULT_TYPE", "main", "predict", "relation_udf", "usable"]

RESULT_TYPE = (
    "relation string, score double, probability double, "
    "top array<struct<relation:string,score:double,probability:double>>"
)
"""The answer of :class:`~cfcre.tracking.pyfunc_model.CfcreModel` in Spark's own words."""

COLUMNS = ("text", "head", "tail")


def relation_udf(spark: SparkSession, model_uri: str, *, top_k: int = 1) -> Any:
    """The model as a function of one struct column of ``text``, ``head`` and ``tail``.

    The columns go in as one struct, ``udf(struct("text", "head", "tail"))``: the model's input is
    one object a row. Passed as three columns they would be taken for three inputs.

    Args:
        spark: The session.
        model_uri: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``. An alias is resolved once,
            here: all rows are predicted by the same version.
        top_k: Relations listed for each row.
    """
    import mlflow

    return mlflow.pyfunc.spark_udf(
        spark, model_uri, result_type=RESULT_TYPE, env_manager="local", params={"top_k": top_k}
    )


def usable() -> Column:
    """Whether a row's spans lie in its text and do not overlap; false for a null.

    Spark's ``length`` counts what Python's does, code points.
    """
    from pyspark.sql import functions as f

    length = f.length("text")
    inside = [
        (f.col(f"{side}.start") >= 0)
        & (f.col(f"{side}.start") < f.col(f"{side}.end"))
        & (f.col(f"{side}.end") <= length)
        for side in ("head", "tail")
    ]
    apart = (f.col("head.end") <= f.col("tail.start")) | (f.col("tail.end") <= f.col("head.start"))
    return f.coalesce(inside[0] & inside[1] & apart, f.lit(False))


def predict(frame: DataFrame, model_uri: str, *, top_k: int = 1) -> DataFrame:
    """The usable rows with a column ``answer``; see :data:`RESULT_TYPE`.

    Raises:
        ConfigurationError: A column is missing.
    """
    from pyspark.sql.functions import struct

    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ConfigurationError(
            f"the rows have no column {missing[0]!r}; they need text, and head and tail as structs "
            "of start and end"
        )
    udf = relation_udf(frame.sparkSession, model_uri, top_k=top_k)
    return frame.filter(usable()).withColumn("answer", udf(struct(*COLUMNS)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict a folder or file of rows.

    Args:
        arguments: Command-line arguments; None takes the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="cfcre.tracking.spark", description="Predict rows on Spark."
    )
    parser.add_argument("input", help="Parquet, or JSON Lines where it ends in .json or .jsonl")
    parser.add_argument("output", help="a new folder")
    parser.add_argument("--model", default="models:/cfcre@champion", metavar="URI")
    parser.add_argument("--top-k", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigurationError("pyspark is not installed; install the extra spark") from error
    spark = SparkSession.builder.appName("cfcre").getOrCreate()
    lines = given.input.rstrip("/").endswith((".json", ".jsonl"))
    rows = spark.read.json(given.input) if lines else spark.read.parquet(given.input)
    predict(rows, given.model, top_k=given.top_k).write.parquet(f"{given.output}/predicted")
    rows.filter(~usable()).write.parquet(f"{given.output}/refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
