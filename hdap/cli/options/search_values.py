"""What the options of `hdap search` say, as a request takes it."""

import typer


def asked_objective(
    asked: str | None, latency: str | None, data: str | None, min_accuracy: float | None
) -> str:
    """What is minimised where it was left open; accuracy is one where it is judged freely."""
    objective = asked or ("mean" if latency is None else "p95")
    free = data is None or min_accuracy is not None or "accuracy" in objective.split(",")
    return objective if free else f"{objective},accuracy"


def asked_budget(flops: str | None, latency: str | None, objective: str | None) -> str | None:
    """`--flops`, which only a latency budget or FLOPs as an objective make needless."""
    free = latency is not None or "flops" in (objective or "").split(",")
    return flops if free else needed(flops, "--flops")


def needed(value: str | None, option: str) -> str:
    """An option that a new study needs."""
    if value is None:
        raise typer.BadParameter(f"give {option}, or --resume STUDY", param_hint=option)
    return value


def asked_step(text: str) -> int:
    """The grid's step; 0 for `auto`."""
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"auto or a number >= 1, not {text!r}", param_hint="--step")
    return int(text)


def fixed_groups(texts: list[str]) -> dict[str, int]:
    """`GROUP=COUNT` options as counts by group."""
    pairs = [text.rpartition("=") for text in texts]
    for text, (name, _, count) in zip(texts, pairs, strict=True):
        if not name or not count.isdecimal():
            raise typer.BadParameter(f"GROUP=COUNT, not {text!r}", param_hint="--fix")
    return {name: int(count) for name, _, count in pairs}
