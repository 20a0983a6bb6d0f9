"""`hdap portfolio build`: variants of one model, compared, stored, in one bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options import recipe_options as options
from hdap.cli.options.search_values import asked_step
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.requests.portfolio_request import PortfolioRequest
    from hdap.workflows.make_portfolio import ReadData

NAME = "build"


def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle; must be new.")],
    sparse: Annotated[
        Path | None,
        typer.Option(
            "--sparse",
            help="A variant from each level of this folder of hdap portfolio train, or from one "
            "sparse checkpoint or .safetensors file of your own (with --model).",
        ),
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option(
            "--flops", help="A variant from a search at each of these budgets: 0.5G,1.0G,50%."
        ),
    ] = None,
    elastic: Annotated[
        Path | None,
        typer.Option("--elastic", help="A variant from each level of this elastic checkpoint."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A timm name, or package.module:factory.")
    ] = None,
    variants: Annotated[
        int | None,
        typer.Option("--variants", min=1, help="At most so many; the most alike go first."),
    ] = None,
    slim: Annotated[
        str | None,
        typer.Option(
            "--slim",
            help="With --sparse and --data: each level also with nearly empty channels gone, down "
            "to 50% of its FLOPs, to 0.5G, or as far as accuracy:0.99 of its accuracy stays.",
        ),
    ] = None,
    search_trials: Annotated[
        int, typer.Option("--search-trials", min=1, help="Trials of each search of --flops.")
    ] = 2000,
    flops_tol: Annotated[
        float,
        typer.Option("--flops-tol", help="How far below its budget a searched network may be."),
    ] = 0.03,
    step: Annotated[
        str,
        typer.Option(
            "--step",
            help="Grid of channel counts of searches: a number, or auto (what measurements show to "
            "pay).",
        ),
    ] = "auto",
    criterion: Annotated[
        str,
        typer.Option(
            "--criterion",
            help="Which channels stay in a search's network: l1, l2, bn_scale, taylor, random.",
        ),
    ] = "l2",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            exists=True,
            dir_okay=False,
            help="With --flops: state dict (.pt, .pth, .safetensors) of the dense network.",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="With --flops: timm's own weights.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="With --flops: folder of hdap prune or finetune to cut from instead.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Judge accuracy on its validation part, and set batch norms of searched networks "
            "anew on its training part: a folder of images, or package.module:factory.",
        ),
    ] = None,
    validation_share: options.ValidationShare = 0.1,
    unreadable: options.Unreadable = "stop",
    measure_here: Annotated[
        bool,
        typer.Option(
            "--measure-here", help="Also time each variant on this machine, on one thread."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle that is in --out.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make several variants of one model in one run, leave out what another dominates, bundle them.

    A variant is dominated when another is as fast, small and accurate, and better in one of these.
    The table is stored (portfolios, variants, variant_latencies in SQL); the bundle holds ONNX
    networks, a manifest with their hashes, and switcher.pyz, which swaps them while it serves.
    """
    from hdap.requests.portfolio_request import PortfolioRequest

    request = PortfolioRequest(
        out=out,
        sparse=sparse,
        flops=tuple(part.strip() for part in flops.split(",")) if flops else (),
        elastic=elastic,
        model=model,
        slim=slim,
        criterion=criterion,
        trials=search_trials,
        tolerance=flops_tol,
        step=asked_step(step),
        weights=weights,
        pretrained=pretrained,
        checkpoint=checkpoint,
        data=data,
        validation_share=validation_share,
        unreadable=unreadable,
        most=variants,
        measure_here=measure_here,
        force=force,
        seed=seed,
    )
    _build(request, db, as_json)


def _build(request: "PortfolioRequest", db: str, as_json: bool) -> None:
    from hdap.cli.commands.prune import tell_weights
    from hdap.cli.tables import portfolio_table
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, progress_bar, say
    from hdap.networks.prune_plan import WeightsSource
    from hdap.workflows.make_portfolio import make_portfolio

    # only searches need a fleet; anything else is stored in a new database too
    with open_store(db, create=request.source != "flops") as store:
        if request.source == "flops" and request.checkpoint is None:
            tell_weights(WeightsSource(request.weights, request.pretrained, request.seed))
        with progress_bar("building") as bar:
            built = make_portfolio(store, request, _reader(request), say, bar)
    if as_json:
        emit_json(portfolio_table.document(built))
    else:
        portfolio_table.show(built)


def _reader(request: "PortfolioRequest") -> "ReadData":
    from hdap.training.datasets import Data
    from hdap.training.load_data import load_data

    def read(model: str, shape: tuple[int, int, int]) -> Data | None:
        if request.data is None:
            return None
        seen = options.data_options(
            model, shape, request.seed, request.validation_share, request.unreadable
        )
        data = load_data(request.data, seen)
        options.tell_data(data)
        return data

    return read
