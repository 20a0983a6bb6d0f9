"""What `hdap compress` shows, on the way and at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import line, progress_bar, say, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import counted, interval, latency, number, percent, times
from hdap.requests.compression_request import CompressRequest
from hdap.requests.training_request import judged_by
from hdap.search.driver.run_search import SearchProgress
from hdap.training.training_session import TrainingWatch
from hdap.training.training_state import Epoch, TrainingProgress
from hdap.workflows.compress_network import Compression, CompressWatch, tuned_folder
from hdap.workflows.compression_journal import Journal
from hdap.workflows.next_commands import command_line, export_command, free_name


@contextmanager
def watching(store: Store, work: Compression, request: CompressRequest) -> Iterator[CompressWatch]:
    """One bar over all steps; it moves with the epochs, which take most of the time."""
    first, count, epochs = work.journal.done, len(work.schedule), request.recipe.epochs
    judged = judged_by(request.loss, request.metric)
    with progress_bar("compressing") as bar:

        def searching(step: int, done: SearchProgress) -> None:
            note = f"step {step}: searching, {done.done} of {done.trials} trials"
            bar((step - 1 - first) * epochs, (count - first) * epochs, note)

        def tuning(step: int) -> TrainingWatch:
            def on_step(done: TrainingProgress) -> None:
                epoch = (step - 1 - first) * epochs + done.epoch - 1
                rate = f"{number(done.images_per_second)} images/s"
                note = f"step {step}, epoch {done.epoch}: loss {number(done.loss)}, {rate}"
                bar(epoch, (count - first) * epochs, note)

            def on_epoch(done: Epoch) -> None:
                say(
                    f"step {step}, epoch {done.number} of {epochs}: loss "
                    f"{number(done.train_loss)}, {judged} {percent(done.accuracy)}"
                )

            return TrainingWatch(on_step, on_epoch, store)

        yield CompressWatch(say, searching, tuning)


def document(journal: Journal, out: Path) -> dict[str, Any]:
    """What was compressed as `--json` prints it; latencies are predicted."""
    return {"out": str(out), **asdict(journal)}


def show(journal: Journal, schedule: Sequence[int], out: Path) -> None:
    """What was compressed as a person reads it."""
    steps, model = journal.steps, journal.request.model
    judged = judged_by(journal.request.loss, journal.request.metric)
    show_rows(
        steps,
        ("step", "left", lambda s: str(s.step)),
        ("trial", "left", lambda s: f"{s.trial} of {s.study}"),
        ("budget", "right", lambda s: format_flops(schedule[s.step - 1])),
        ("FLOPs", "right", lambda s: format_flops(s.flops)),
        ("fleet mean, predicted", "right", lambda s: latency(s.predicted_ms)),
        (
            "90 % interval",
            "right",
            lambda s: interval(s.predicted_low_ms, s.predicted_high_ms),
        ),
        (f"{judged} before", "right", lambda s: percent(s.accuracy_before)),
        ("pruned", "right", lambda s: percent(s.accuracy_pruned)),
        ("tuned", "right", lambda s: percent(s.accuracy_after or 0.0)),
        ("on validation images", "right", lambda s: percent(s.validation_accuracy or 0.0)),
        title=f"{model} compressed in {counted(len(steps), 'step')}, {judged} on held-out images",
        optional=("90 % interval", "budget"),
    )
    last = steps[-1]
    line(
        f"predicted {times(last.dense_ms / last.predicted_ms)} faster than dense on the fleet; "
        f"{judged} {percent(journal.accuracy_dense)} -> {percent(last.accuracy_after or 0.0)}"
    )
    final = tuned_folder(out, last.step)
    this = ("--study", last.study, "--trial", last.trial)
    next_steps(
        command_line("verify", *this, "--out", free_name("proof")),
        export_command(final, model),
    )
