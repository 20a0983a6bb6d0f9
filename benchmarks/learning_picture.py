"""The picture of the learning curve."""
from pathlib import Path
import polars as pl
def draw(figures: pl.DataFrame, stem: Path) -> None:
    pass
