"""The decision where several networks share a deadline: which to ship, and to whom."""

import numpy as np

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import counted, kept, latency, percent
from hdap.report.pictures.picture_source import PictureSource
from hdap.requests.search_request import request_of
from hdap.workflows.decision import NextStep, ShippingDecision
from hdap.workflows.next_commands import command_line, free_name
from hdap.workflows.search_sizes import deadline_of


def decide_on_sizes(source: PictureSource) -> ShippingDecision:
    """What to do with the networks of a study of several; what is said of them is predicted."""
    study, stored = source.searched, source.store.assignments(source.searched.id)
    request, trials = request_of(study), source.trials
    used = trials.take(np.isin(trials.number, stored.number))
    used = used.take(np.argsort(-used.kept_importance, kind="stable"))
    facts = []
    for row, number in enumerate(used.number.tolist()):
        mine = stored.number == number
        slowest = float(stored.latency_ms[mine].max(initial=0.0))
        facts.append(
            (
                f"Trial {number}",
                f"{format_flops(int(used.flops[row]))} FLOPs, keeps "
                f"{kept(used.kept_importance[row])}, for {counted(int(mine.sum()), 'device')}, "
                f"the slowest of them {latency(slowest)} (predicted).",
            )
        )
    late = int((~stored.in_time).sum())
    told = (
        f"{percent(float(stored.in_time.mean()), 0)} of {len(stored):,} devices run theirs within "
        f"{deadline_of(request):g} ms with {percent(request.confidence, 0)} certainty (predicted); "
        "not yet measured."
    )
    warnings = (f"{counted(late, 'device')} may be late with every network.",) if late else ()
    steps = [
        NextStep(
            command_line("assign", "--study", study.name, "--out", free_name("assignments.csv")),
            "writes which device runs which",
        )
    ]
    steps += [
        NextStep(
            command_line("verify", "--study", study.name, "--trial", number, "--out", "proof"),
            f"measures trial {number}",
        )
        for number in used.number.tolist()[:1]
    ]
    number = counted(len(used), "network")
    headline = f"Ship {number} of {study.model} once {'it is' if len(used) == 1 else 'they are'}"
    return ShippingDecision(
        "measure first", f"{headline} measured", told, tuple(facts), warnings, tuple(steps)
    )
