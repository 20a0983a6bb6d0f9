"""What is left of a trained network by each criterion for the channels that stay, before tuning.

    python -m benchmarks.quality.criteria [--work build/criteria] [--seeds 3] [--shares 0.6 0.4]

The networks of `benchmarks.quality.frontier`, trained, are pruned to uniform widths in multiples of
8 at shares of their FLOPs; which channels stay is decided by every criterion of `hdap prune`. Batch
norms are recalibrated, and 10,000 images judge. Differences from l2, the usual choice, are paired
over seeds, with 95 % intervals (Student's t). With the --work of a frontier its dense networks are
taken.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.quality.figures import words
from benchmarks.quality.frontier_plan import NETWORKS, TUNING_RECIPE, Settings, Work, model_of
from benchmarks.quality.frontier_training import ensured_dense, photographs
from benchmarks.quality.recipes import uniform
from hdap.networks.criteria import CRITERIA, Evidence, channel_scores
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.training.load_data import TrainingBatches
from hdap.training.network_quality import evaluate, recalibrate_by

USUAL = "l2"


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    work = Work(options.work)
    for network in options.networks:
        found: dict[tuple[str, float], list[float]] = {}
        for seed in range(options.seeds):
            for name, share, accuracy in _seed(network, seed, options.shares, work):
                found.setdefault((name, share), []).append(accuracy)
            print(_table(network, options.shares, found), flush=True)


def _seed(
    network: str, seed: int, shares: list[float], work: Work
) -> list[tuple[str, float, float]]:
    settings = Settings()
    module = ensured_dense(network, seed, settings, work)
    architecture = trace(model_of(network))
    data = photographs(settings.images, settings.judged)
    evidence = Evidence(seed, TrainingBatches(data, seed))
    found = []
    for name in CRITERIA:
        scores = channel_scores(name, module, architecture, evidence)
        for share in shares:
            pruned = prune(module, architecture, uniform(architecture, share), scores)
            recalibrate_by(TUNING_RECIPE, pruned, data.train)
            found.append((name, share, evaluate(pruned, data.validation).accuracy))
    return found


def _table(network: str, shares: list[float], found: dict[tuple[str, float], list[float]]) -> str:
    heads = " | ".join(f"at {share:.0%} FLOPs, % | less {USUAL}'s, points" for share in shares)
    lines = ["", f"| {network}, by | {heads} |", f"| --- |{' --- | --- |' * len(shares)}"]
    for name in CRITERIA:
        cells = []
        for share in shares:
            own, usual = found[name, share], found[USUAL, share]
            more = [a - b for a, b in zip(own, usual, strict=True)]
            cells += [f"{100 * sum(own) / len(own):.1f}", words(more, 100.0, 1)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/criteria"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.6, 0.4])
    return parser.parse_args()


if __name__ == "__main__":
    main()
