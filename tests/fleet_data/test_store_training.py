import math
from dataclasses import replace
from datetime import UTC, datetime

from hdap.fleet_data.records import CompressionStepRecord, EpochRecord
from hdap.fleet_data.store import Store

NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
EPOCH = EpochRecord(
    run="tuned",
    epoch=1,
    checkpoint="folder/tuned",
    model="resnet50",
    train_loss=2.5,
    validation_loss=2.25,
    accuracy=0.5,
    lr=0.01,
    images_per_second=900.0,
    seconds=3.5,
    seed=3,
    created_at=NOW,
)
STEP = CompressionStepRecord(
    run="small",
    step=1,
    checkpoint="small/step-1/tuned",
    model="resnet50",
    study="resnet50-2G-1",
    trial=17,
    flops=2_000_000_000,
    predicted_ms=20.0,
    predicted_low_ms=19.0,
    predicted_high_ms=21.0,
    accuracy_before=0.8,
    accuracy_pruned=0.75,
    accuracy_after=0.79,
    simulated=False,
    created_at=NOW,
)


def test_epochs_come_back_by_run_and_epoch(store: Store) -> None:
    second = replace(EPOCH, epoch=2, accuracy=0.6)
    other = replace(EPOCH, run="another")
    store.save_epochs([second, EPOCH])
    store.save_epochs([other])
    assert store.epochs("tuned") == (EPOCH, second)
    assert store.epochs() == (other, EPOCH, second)
    assert store.epochs("nothing") == ()


def test_the_newest_record_of_an_epoch_counts(store: Store) -> None:
    store.save_epochs([EPOCH])
    store.save_epochs([replace(EPOCH, accuracy=0.7)])
    (found,) = store.epochs("tuned")
    assert found.accuracy == 0.7


def test_a_number_that_is_not_finite_comes_back_as_nan(store: Store) -> None:
    store.save_epochs([replace(EPOCH, validation_loss=math.inf)])
    (found,) = store.epochs("tuned")
    assert math.isnan(found.validation_loss)


def test_steps_of_a_compression_come_back_in_order(store: Store) -> None:
    second = replace(STEP, step=2, simulated=True)
    store.save_compression_step(second)
    store.save_compression_step(STEP)
    store.save_compression_step(replace(STEP, run="other"))
    assert store.compression_steps("small") == (STEP, second)


def test_runs_are_known_by_name_whatever_they_are(store: Store) -> None:
    assert store.training_runs() == ()
    store.save_epochs([EPOCH])
    store.save_compression_step(STEP)
    assert store.training_runs() == ("small", "tuned")
