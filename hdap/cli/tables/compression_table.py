"""What `hdap compress` shows, on the way and at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.workflows.compress_network import Compression, CompressWatch
    from hdap.workflows.compression_journal import Journal


@contextmanager
def watching(store: "Store", work: "Compression", epochs: int) -> Iterator["CompressWatch"]:
    """One bar over all steps; it moves with the epochs, which take most of the time."""
    from hdap.cli.terminal.output import number, percent, progress_bar, say
    from hdap.search.driver.run_search import SearchProgress
    from hdap.training.finetuning import TrainingWatch
    from hdap.training.training_history import Epoch, TrainingProgress
    from hdap.workflows.compress_network import CompressWatch

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


def document(journal: "Journal", out: Path) -> dict[str, Any]:
    """What was compressed as `--json` prints it; latencies are predicted."""
    from dataclasses import asdict

    return {"out": str(out), **asdict(journal)}


def show(journal: "Journal", schedule: Sequence[int], out: Path) -> None:
    """What was compressed as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, number, percent, table
    from hdap.fleet_data.costs import format_flops
    from hdap.workflows.compress_network import tuned_folder

    steps, model = journal.steps, journal.request.model
    table(
        [
            ("step", "left"),
            ("trial", "left"),
            ("budget", "right"),
            ("FLOPs", "right"),
            ("fleet mean, predicted", "right"),
            ("90 % interval", "right"),
            ("accuracy before", "right"),
            ("pruned", "right"),
            ("tuned", "right"),
            ("on validation images", "right"),
        ],
        [
            [
                str(step.step),
                f"{step.trial} of {step.study}",
                format_flops(budget),
                format_flops(step.flops),
                f"{number(step.predicted_ms, 4)} ms",
                f"{number(step.predicted_low_ms, 4)}-{number(step.predicted_high_ms, 4)}",
                percent(step.accuracy_before),
                percent(step.accuracy_pruned),
                percent(step.accuracy_after or 0.0),
                percent(step.validation_accuracy or 0.0),
            ]
            for step, budget in zip(steps, schedule, strict=False)
        ],
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
