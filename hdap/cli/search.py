"""`hdap search`: the configuration to ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.searching import Search

NAME = "search"


def run(
    model: Annotated[
        str | None, typer.Option("--model", help="A timm name, or package.module:factory.")
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option("--flops", help="Budget: 1.0G, 300M, 1e9, or 25% of the dense model."),
    ] = None,
    flops_tol: Annotated[
        float,
        typer.Option("--flops-tol", help="How far below the budget a network may be; 0.03 = 3 %."),
    ] = 0.03,
    objective: Annotated[
        str,
        typer.Option(
            "--objective", help="What is minimised: mean, p95 (over devices) or worst (cluster)."
        ),
    ] = "mean",
    floor: Annotated[
        float | None,
        typer.Option(
            "--floor",
            help="Least kept importance, 0..1. Default: as much as uniform pruning keeps.",
        ),
    ] = None,
    risk: Annotated[
        float,
        typer.Option("--risk", help="Standard deviations of doubt added to every prediction."),
    ] = 1.0,
    step: Annotated[
        str,
        typer.Option(
            "--step",
            help="Grid of channel counts: a number, or auto (what measurements show to pay).",
        ),
    ] = "auto",
    min_width: Annotated[
        int | None,
        typer.Option(
            "--min-width", help="Fewest channels of a group. Default: half of what uniform keeps."
        ),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", help="GROUP=COUNT: keep a group at a count; repeatable."),
    ] = None,
    sampler: Annotated[
        str, typer.Option("--sampler", help="fleet, tpe, nsga2, cmaes, random, or ncs (as HDAP).")
    ] = "fleet",
    surrogate: Annotated[
        str, typer.Option("--surrogate", help="fleet, roofline, or hdap-gbrt (as HDAP).")
    ] = "fleet",
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", min=1, help="Trials of the study, earlier ones included.  [default: 2000]"
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Stop after so many seconds.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", exists=True, dir_okay=False, help="State dict that importance comes from."
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Importance from timm's own weights.")
    ] = False,
    study: Annotated[str | None, typer.Option("--study", help="A name for the study.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with this study.")] = None,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find the pruned network that is fastest on the fleet as it is, within a FLOPs budget.

    Clusters and fits whatever is missing or stale by itself. Every network that is considered meets
    the budget exactly and keeps at least as much importance as uniform pruning does.
    """
    from hdap.cli.opening import open_store
    from hdap.cli.output import say
    from hdap.searching import SearchRequest, new_search, resumed_search

    request = None
    if resume is None:
        request = SearchRequest(
            model=_needed(model, "--model"),
            flops=_needed(flops, "--flops"),
            tolerance=flops_tol,
            objective=objective,
            floor=floor,
            risk=risk,
            step=_step(step),
            min_width=min_width,
            fixed=_fixed(fix or []),
            sampler=sampler,
            surrogate=surrogate,
            trials=trials or 2000,
            seed=seed,
            weights=None if weights is None else str(weights.resolve()),
            pretrained=pretrained,
        )
    with open_store(db, create=False) as store:
        if request is None:
            search = resumed_search(store, str(resume), trials, say)
        else:
            search = new_search(store, request, study, say)
        _run(store, search, timeout, as_json)


def _run(store: "Store", search: "Search", timeout: float | None, as_json: bool) -> None:
    from hdap.cli import answer
    from hdap.cli.output import emit_json, number, progress_bar
    from hdap.searching import conclude, run

    if not as_json:
        answer.show_profile(search.profile)
    with progress_bar("searching") as bar:
        result = run(
            store,
            search,
            timeout,
            lambda p: bar(p.done, p.trials, f"best so far {number(p.best_ms, 4)} ms (predicted)"),
        )
    found, worth = conclude(search, result)
    if as_json:
        emit_json(answer.document(search, result, found, worth))
    else:
        answer.show(search, result, found, worth)
    if result.stopped == "interrupted":
        raise typer.Exit(130)


def _needed(value: str | None, option: str) -> str:
    if value is None:
        raise typer.BadParameter(f"give {option}, or --resume STUDY", param_hint=option)
    return value


def _step(text: str) -> int:
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"auto or a number >= 1, not {text!r}", param_hint="--step")
    return int(text)


def _fixed(texts: list[str]) -> dict[str, int]:
    pairs = [text.rpartition("=") for text in texts]
    for text, (name, _, count) in zip(texts, pairs, strict=True):
        if not name or not count.isdecimal():
            raise typer.BadParameter(f"GROUP=COUNT, not {text!r}", param_hint="--fix")
    return {name: int(count) for name, _, count in pairs}
