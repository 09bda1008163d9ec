"""Rows of some FewRel relations as a batch of JSON Lines, with relations named by their labels.

python benchmarks/fewrel_rows.py --data train.json.gz --names pid2name.json
    --relations P26,P40,P3373,P355,P6 --count 100 > new_train.jsonl
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path


def main() -> None:
    """Print the rows, relation by relation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="FewRel JSON, gzip")
    parser.add_argument("--names", type=Path, required=True, help="id to name and description")
    parser.add_argument("--relations", required=True, help="ids, separated by commas")
    parser.add_argument("--count", type=int, default=100, help="rows of each")
    args = parser.parse_args()
    rows = json.loads(gzip.decompress(args.data.read_bytes()))
    names = json.loads(args.names.read_text(encoding="utf-8"))
    for relation in args.relations.split(","):
        for row in rows[relation][: args.count]:
            head, tail = row["h"][2][0], row["t"][2][0]
            made = {
                "tokens": row["tokens"],
                "head": [head[0], head[-1] + 1],
                "tail": [tail[0], tail[-1] + 1],
                "relation": names[relation][0],
            }
            print(json.dumps(made))


if __name__ == "__main__":
    main()
