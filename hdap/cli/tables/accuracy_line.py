"""What a search that judged its trials says of accuracy."""

from typing import Any

import numpy as np

from hdap.cli.terminal.output import line, percent
from hdap.search.analysis.answer import Answer
from hdap.search.driver.run_search import SearchResult
from hdap.workflows.search_fleet import Search


def accuracy_of(search: Search, result: SearchResult, found: Answer) -> dict[str, dict[str, Any]]:
    """The part of the answer's document about accuracy; empty where nothing was judged."""
    if search.request.data is None or result.trials is None or result.trials.accuracy is None:
        return {}
    judged = result.trials.accuracy
    row = np.flatnonzero(result.trials.number == found.numbers[0])[0]
    return {
        "accuracy": {
            "found_untuned": float(judged[row]),
            "least": search.request.min_accuracy,
            "judged_trials": int(np.isfinite(judged).sum()),
            "data": search.request.data,
        }
    }


def show_accuracy(search: Search, result: SearchResult, found: Answer) -> None:
    """One line on the accuracy of the answer."""
    for told in accuracy_of(search, result, found).values():
        least = told["least"]
        asked = "" if least is None else f", {percent(least)} asked for"
        line(
            f"accuracy of found before any tuning: {percent(told['found_untuned'])}{asked}; "
            f"{told['judged_trials']:,} trials judged on held-out training images of {told['data']}"
        )
