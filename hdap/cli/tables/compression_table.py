"""What `hdap compress` shows, on the way and at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdap.cli.terminal.output import line, next_steps, number, percent, progress_bar, say, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.store import Store
from hdap.search.driver.run_search import SearchProgress
from hdap.training.training_session import TrainingWatch
from hdap.training.training_state import Epoch, TrainingProgress
from hdap.workflows.compress_network import Compression, CompressWatch, tuned_folder
from hdap.workflows.compression_journal import Journal


@contextmanager
def watching(store: Store, work: Compression, epochs: int) -> Iterator[CompressWatch]:
    """One bar over all steps; it moves with the epochs, which take most of the time."""
    first, count = work.journal.done, len(work.schedule)
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
                    f"{number(done.train_loss)}, accuracy {percent(done.accuracy)}"
                )

            return TrainingWatch(on_step, on_epoch, store)

        yield CompressWatch(say, searching, tuning)


def document(journal: Journal, out: Path) -> dict[str, Any]:
    """What was compressed as `--json` prints it; latencies are predicted."""
    return {"out": str(out), **asdict(journal)}


def show(journal: Journal, schedule: Sequence[int], out: Path) -> None:
    """What was compressed as a person reads it."""
    steps, model = journal.steps, journal.request.model
    show_rows(
        steps,
        ("step", "left", lambda s: str(s.step)),
        ("trial", "left", lambda s: f"{s.trial} of {s.study}"),
        ("budget", "right", lambda s: format_flops(schedule[s.step - 1])),
        ("FLOPs", "right", lambda s: format_flops(s.flops)),
        ("fleet mean, predicted", "right", lambda s: f"{number(s.predicted_ms, 4)} ms"),
        (
            "90 % interval",
            "right",
            lambda s: f"{number(s.predicted_low_ms, 4)}-{number(s.predicted_high_ms, 4)}",
        ),
        ("accuracy before", "right", lambda s: percent(s.accuracy_before)),
        ("pruned", "right", lambda s: percent(s.accuracy_pruned)),
        ("tuned", "right", lambda s: percent(s.accuracy_after or 0.0)),
        ("on validation images", "right", lambda s: percent(s.validation_accuracy or 0.0)),
        title=f"{model} compressed in {len(steps)} steps, accuracy on held-out training images",
        optional=("90 % interval", "budget"),
    )
    last = steps[-1]
    line(
        f"predicted {last.dense_ms / last.predicted_ms:.2f}x faster than dense on the fleet; "
        f"accuracy {percent(journal.accuracy_dense)} -> {percent(last.accuracy_after or 0.0)}"
    )
    final = tuned_folder(out, last.step)
    named = f" --model {model}" if ":" in model else ""
    next_steps(
        f"hdap verify --study {last.study} --trial {last.trial} --out proof",
        f"hdap export {final} --format onnx --out {out}.onnx{named}",
    )
