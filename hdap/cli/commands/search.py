"""`hdap search`: the configuration to ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options.search_values import (
    asked_budget,
    asked_objective,
    asked_step,
    fixed_groups,
    needed,
)
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.search.analysis.answer import Answer
    from hdap.search.driver.run_search import SearchProgress, SearchResult
    from hdap.workflows.compare_networks import ClusterAssignment
    from hdap.workflows.distributed_search import WorkerPool
    from hdap.workflows.search_fleet import Search

NAME = "search"
JUDGED_TRIALS = 200
"""Judging a network takes as long as scoring thousands."""


def run(
    model: Annotated[
        str | None, typer.Option("--model", help="A timm name, or package.module:factory.")
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option("--flops", help="Budget: 1.0G, 300M, 1e9, or 25% of the dense model."),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(
            "--latency",
            help="Budget: keep the most importance with the fleet's p95 (or --objective) within "
            "20ms; --flops is then a cap.",
        ),
    ] = None,
    flops_tol: Annotated[
        float,
        typer.Option("--flops-tol", help="How far below the budget a network may be; 0.03 = 3 %."),
    ] = 0.03,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What is minimised: mean, p95 (over devices), worst (cluster), cvar:0.9 (mean of "
            "the slowest 10 %), deadline:30ms (share of devices late); or a front of two or three, "
            "kept and flops among them: mean,kept.  [default: mean; p95 with --latency]",
        ),
    ] = None,
    per_cluster: Annotated[
        bool,
        typer.Option("--per-cluster", help="Also the best network of each cluster: one, or k?"),
    ] = False,
    floor: Annotated[
        float | None,
        typer.Option(
            "--floor",
            help="Least kept importance, 0..1. Default: 0.9 of what uniform pruning keeps.",
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            "--proxy",
            help="What makes kept importance of the shares that groups keep: log-mean, layers, "
            "harmonic or mean.  [default: layers]",
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
        str,
        typer.Option(
            "--sampler",
            help="fleet, or a base line: tpe, nsga2, cmaes, gp, random, ncs (as HDAP), netadapt, "
            "halp.",
        ),
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
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience",
            min=1,
            help="Stop after so many trials without a better one; for one process.",
        ),
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
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images that every trial is judged on before any tuning: a folder with one folder "
            "a class, or package.module:factory. Accuracy is then an objective beside latency.",
        ),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(
            "--min-accuracy", help="With --data: a constraint and no objective; 0.6 is 60 %."
        ),
    ] = None,
    study: Annotated[str | None, typer.Option("--study", help="A name for the study.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with this study.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            help="Processes that search one study, or with --data judge it; several that search "
            "make the trials depend on timing, those that judge do not.",
        ),
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            help="Where Optuna keeps the study, so that several machines search it: "
            "postgresql://..., grpc://HOST:PORT (Optuna's proxy), sqlite:///FILE or a *.journal "
            "file. The same command on each machine, with --study NAME, joins it; which trials "
            "it gets then depends on timing.",
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find the pruned network that is fastest on the fleet as it is, within a FLOPs budget.

    Clusters and fits whatever is missing or stale by itself. Every network that is considered meets
    the budget exactly and keeps the importance that accuracy after fine-tuning needs.
    """
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import say
    from hdap.search.problem.proxies import DEFAULT_PROXY
    from hdap.workflows.distributed_search import WorkerPool, join_search
    from hdap.workflows.search_fleet import SearchRequest, new_search, resumed_search

    if patience is not None and not WorkerPool(workers, storage).alone:
        raise typer.BadParameter(
            "only where one process searches, without --workers and --storage",
            param_hint="--patience",
        )
    request = None
    if resume is None:
        request = SearchRequest(
            model=needed(model, "--model"),
            flops=asked_budget(flops, latency, objective),
            tolerance=flops_tol,
            objective=asked_objective(objective, latency, data, min_accuracy),
            floor=floor,
            risk=risk,
            step=asked_step(step),
            min_width=min_width,
            fixed=fixed_groups(fix or []),
            sampler=sampler,
            surrogate=surrogate,
            trials=trials or (2000 if data is None else JUDGED_TRIALS),
            seed=seed,
            weights=None if weights is None else str(weights.resolve()),
            pretrained=pretrained,
            latency=latency,
            per_cluster=per_cluster,
            patience=patience,
            proxy=proxy or DEFAULT_PROXY,
            data=data,
            min_accuracy=min_accuracy,
        )
    with open_store(db, create=False) as store:
        if request is None:
            search = resumed_search(store, str(resume), trials, say)
        else:
            search = (
                new_search(store, request, study, say)
                if storage is None
                else join_search(store, request, study, storage, say)
            )
        _run(store, search, WorkerPool(workers, storage), timeout, as_json)


def _run(
    store: "Store", search: "Search", crew: "WorkerPool", timeout: float | None, as_json: bool
) -> None:
    from hdap.cli.tables import answer_table as answer
    from hdap.cli.tables.accuracy_line import accuracy_of, show_accuracy
    from hdap.cli.terminal.output import emit_json, number, progress_bar, say
    from hdap.workflows.distributed_search import run_distributed
    from hdap.workflows.search_fleet import certified, run, summarize_search

    if not as_json:
        answer.show_profile(search)
    with progress_bar("searching") as bar:

        def show(p: "SearchProgress") -> None:
            bar(p.done, p.trials, f"best so far {number(p.best_ms, 4)} ms (predicted)")

        if crew.alone or (crew.storage is None and search.request.data is not None):
            result = run(store, search, timeout, show, crew.workers)
        else:
            result = run_distributed(store, search, crew, timeout, show, say)
    found, worth = summarize_search(search, result)
    compared = _compared(store, search, result, found)
    above = certified(search, found)
    if as_json:
        document = answer.document(search, result, found, worth, compared, above)
        emit_json(document | accuracy_of(search, result, found))
    else:
        show_accuracy(search, result, found)
        answer.show(search, result, found, worth, compared, above)
    if result.stopped == "interrupted":
        raise typer.Exit(130)


def _compared(
    store: "Store", search: "Search", result: "SearchResult", found: "Answer"
) -> "ClusterAssignment | None":
    """With `--per-cluster` the networks that parts of the fleet would get."""
    from hdap.cli.terminal.output import progress_bar
    from hdap.workflows.compare_networks import compare_networks

    if not search.request.per_cluster or result.trials is None:
        return None
    with progress_bar("one network, or several") as bar:
        return compare_networks(
            store, search, result, found.found.counts, lambda done, of: bar(done, of, "")
        )
