"""Does depth make positive propagation deafer? Three networks of one family, by the rows of two studies.

    posgrad-edu study --jobs 2 --out study
    posgrad-edu study --jobs 2 --limit 10 --seeds 1 --out depth --networks efficientnet-lite1 \\
        --networks efficientnet-lite2
    python benchmarks/depth.py study depth

Lite1 and Lite2 come with the extra ``networks``. Taken are the photos and the draw of random weights that both studies
have. Writes docs/depth.csv, and the tables into docs/depth.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from document import DOCS, write_section

from posgrad_edu.study import interval
from posgrad_edu.study.formatting import markdown_table

FAMILY = {f"efficientnet-lite{n}": f"Lite{n}" for n in range(3)}
VERSIONS = {
    "guided-backprop": "positive",
    "deconvnet": "positive",
    "lrp": "positive",
    "rectgrad": "positive",
    "gradcam": "positive",
    "fullgrad": "absolute",
}
ASKED = {"mean": "contrast", "logit": "logit"}
FILE = DOCS / "depth.csv"


def common(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of the family's networks on the photos, and with the draw, that all of them have."""
    rows = pd.concat([table[table.network.isin(FAMILY)] for table in tables], ignore_index=True)
    rows = rows[
        ((rows.check == "class") & (rows.comparison == "random")) | ((rows.check == "parameters") & (rows.depth > 0))
    ]
    rows = rows[(rows.check == "class") | (rows.seed == 0)]
    photos = [set(some.photo[some.check == "parameters"]) for _, some in rows.groupby("network")]
    return rows[rows.photo.isin(set.intersection(*photos))]


def estimates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each check, contrast, version and network: the photos' mean of Spearman, and its interval."""
    by = ["check", "contrast", "method", "handling", "network"]
    found = []
    for key, photos in rows.groupby([*by, "photo"]).spearman.mean().groupby(level=by):
        low, high = interval(photos.dropna())
        found.append((*key, round(photos.mean(), 3), round(low, 3), round(high, 3), photos.count()))
    return pd.DataFrame(found, columns=[*by, "spearman", "low", "high", "photos"])


def tables(found: pd.DataFrame) -> str:
    """Return both checks' tables."""
    parts = []
    for check, title in {
        "class": "**Two classes**, random ones",
        "parameters": "**The cascade**, mean of its depths",
    }.items():
        lines = []
        for method, handling in VERSIONS.items():
            for contrast, words in ASKED.items():
                asked = {"check": check, "contrast": contrast, "method": method, "handling": handling}
                some = found[(found[list(asked)] == list(asked.values())).all(axis=1)].set_index("network")
                cells = [f"{r.spearman:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in some.loc[list(FAMILY)].itertuples()]
                lines.append([f"`{method}`, {handling}", words, *(cell.replace("-0.00", "0.00") for cell in cells)])
        parts.append(f"{title}:\n\n{markdown_table(['version', 'of a', *FAMILY.values()], lines)}")
    return "\n\n".join(parts)


def main(folders: Annotated[list[Path], typer.Argument(help="Studies' folders.")]) -> None:
    """Read the studies' rows, and write the table and the page."""
    found = estimates(common([pd.read_parquet(folder / "rows.parquet") for folder in folders]))
    found.to_csv(FILE, index=False)
    write_section("depth.md", "depth.py", tables(found))


if __name__ == "__main__":
    typer.run(main)
