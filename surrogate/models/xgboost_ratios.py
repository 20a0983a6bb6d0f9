"""Base line `xgboost-ratios`: XGBoost as it comes. See `ratio_trees`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from hdap.fleet_data.records import Floats
from hdap.surrogate.models.ratio_trees import RatioTrees

ROUNDS = 100


@dataclass(frozen=True)
class Booster:
    """A booster that predicts latency over `unit`."""

    booster: xgboost.Booster
    unit: float

    def predict(self, ratios: Floats) -> Floats:
        """Milliseconds: `n x groups` -> `n`."""
        result: Floats = self.booster.inplace_predict(ratios.astype(np.float32))
        return result.astype(np.float64) * self.unit

    def arrays(self) -> dict[str, Any]:
        """All that prediction needs, as arrays."""
        raw = self.booster.save_raw("ubj")
        return {"booster": np.frombuffer(bytes(raw), dtype=np.uint8), "unit": self.unit}


class XgboostRatios(RatioTrees):
    """Kind `xgboost-ratios`."""

    kind = "xgboost-ratios"
    array_names = ("booster", "unit")

    @classmethod
    def _grow(cls, ratios: Floats, latency: Floats, seed: int) -> Booster:
        unit = float(np.median(latency))
        matrix = xgboost.DMatrix(ratios.astype(np.float32), label=latency / unit)
        settings = {"seed": seed, "nthread": 1, "tree_method": "hist"}
        return Booster(xgboost.train(settings, matrix, num_boost_round=ROUNDS), unit)

    @classmethod
    def _trees(cls, arrays: dict[str, Any]) -> Booster:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(arrays["booster"].tobytes()))
        return Booster(booster, float(arrays["unit"]))
