import copy
import io
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import DivergedError, InputError
from hdap.requests.recipe import OPTIMIZERS, Recipe
from hdap.training.batching import Batch
from hdap.training.datasets import Data, part
from hdap.training.losses import Step, imitation
from hdap.training.network_quality import evaluate
from hdap.training.training_loop import train
from hdap.training.training_state import Snapshot, TrainingProgress

Make = Callable[..., nn.Module]
RECIPE = Recipe(epochs=3, batch_size=16, lr=0.05)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _saved(snapshot: Snapshot) -> Snapshot:
    buffer = io.BytesIO()
    torch.save((snapshot.module, snapshot.optimizer, snapshot.scaler), buffer)
    buffer.seek(0)
    module, optimizer, scaler = torch.load(buffer, weights_only=True)
    return Snapshot(module, optimizer, scaler, snapshot.epochs)


def test_a_network_learns(make: Make, data: Data) -> None:
    network = make()
    before = evaluate(network, data.validation)
    history = train(network, data, Recipe(epochs=6, batch_size=16, lr=0.05))
    assert [e.number for e in history.epochs] == [1, 2, 3, 4, 5, 6]
    assert history.last.accuracy > 0.9 > before.accuracy
    assert history.last.train_loss < 0.5 * history.epochs[0].train_loss
    assert evaluate(network, data.validation).accuracy == history.last.accuracy
    assert not network.training


def test_the_same_seed_gives_the_same_numbers_and_another_others(make: Make, data: Data) -> None:
    first, second, third = make(), make(), make()
    train(first, data, RECIPE)
    torch.randn(7)  # the state of the global generator plays no part
    train(second, data, RECIPE)
    train(third, data, Recipe(epochs=3, batch_size=16, lr=0.05, seed=1))
    assert _same(_weights(first), _weights(second))
    assert not _same(_weights(first), _weights(third))


def test_the_global_generator_is_as_before(make: Make, data: Data) -> None:
    torch.manual_seed(5)
    expected = torch.randn(4)
    torch.manual_seed(5)
    train(make(), data, RECIPE)
    assert torch.equal(torch.randn(4), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_gives_bit_equal_numbers(make: Make, data: Data, optimizer: str) -> None:
    recipe = Recipe(epochs=4, batch_size=16, lr=0.01, optimizer=optimizer, warmup_epochs=1.5)
    kept: dict[int, Snapshot] = {}
    whole = make()
    history = train(whole, data, recipe, on_epoch=lambda e, s: kept.update({e.number: _saved(s())}))
    again = make(seed=9)  # all numbers come from the snapshot
    resumed = train(again, data, recipe, resume=kept[2])
    assert _same(_weights(whole), _weights(again))
    assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in history.epochs]
    assert [e.validation_loss for e in resumed.epochs] == [
        e.validation_loss for e in history.epochs
    ]


def test_a_snapshot_of_another_network_is_refused(make: Make, data: Data) -> None:
    kept: list[Snapshot] = []
    train(make(), data, RECIPE, on_epoch=lambda e, s: kept.append(_saved(s())))
    with pytest.raises(InputError, match="goes on with the network"):
        train(make(plain=True), data, RECIPE, resume=kept[0])


def test_accumulated_batches_make_the_step_of_one_large_batch(make: Make, data: Data) -> None:
    large, small = make(plain=True), make(plain=True)
    train(large, data, Recipe(epochs=2, batch_size=32, lr=0.05))
    train(small, data, Recipe(epochs=2, batch_size=8, accumulation=4, lr=0.05))
    for name, value in _weights(large).items():
        torch.testing.assert_close(value, _weights(small)[name], rtol=1e-4, atol=1e-5)


def test_a_batch_larger_than_the_data_is_all_of_it(make: Make, data: Data) -> None:
    few = Data(part(data.train, range(5)), data.validation, 3)
    assert len(train(make(), few, Recipe(epochs=2, batch_size=64)).epochs) == 2
    with pytest.raises(InputError, match="lower --accumulation"):
        train(make(), few, Recipe(accumulation=6))


def test_a_loss_that_runs_away_stops_before_a_weight_is_broken(make: Make, data: Data) -> None:
    with pytest.raises(DivergedError, match=r"step \d+ of 6 of epoch 1"):
        train(make(), data, Recipe(epochs=2, batch_size=16, lr=1e30, momentum=0.0))
    poisoned = make()
    nn.init.constant_(poisoned.get_submodule("0").get_parameter("weight"), float("nan"))
    head = poisoned.get_submodule("5").get_parameter("weight")
    before = head.clone()
    with pytest.raises(DivergedError, match="is nan at step 1 of 6 of epoch 1"):
        train(poisoned, data, RECIPE)
    assert torch.equal(head, before)


def test_a_step_may_hold_several_losses_of_which_the_first_is_told(make: Make, data: Data) -> None:
    def sandwich(network: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        images, labels = batch
        logits = network(images)
        yield nn.functional.cross_entropy(logits, labels)
        drawn.append(int(torch.randint(0, 100, (), generator=step.rng)))
        yield imitation(network(images.flip(-1)), logits.detach())

    drawn: list[int] = []
    first, second = make(), make()
    history = train(first, data, RECIPE, losses=sandwich)
    once, drawn = drawn, []
    train(second, data, RECIPE, losses=sandwich)
    assert once == drawn
    assert len(set(once)) > 5
    assert _same(_weights(first), _weights(second))
    assert history.last.train_loss < 1.2  # cross-entropy alone, not the sum


def test_a_hook_after_every_step_keeps_masked_weights_at_zero(make: Make, data: Data) -> None:
    network = make()
    mask = torch.ones(8, 1, 1, 1)
    mask[:4] = 0

    def masked(module: nn.Module) -> None:
        module.get_submodule("0").get_parameter("weight").mul_(mask)

    train(network, data, RECIPE, after_step=masked)
    weight = network.get_submodule("0").get_parameter("weight")
    assert (weight[:4] == 0).all()
    assert (weight[4:] != 0).any()


def test_a_teacher_is_imitated_and_not_changed(make: Make, data: Data) -> None:
    teacher = make(seed=1)
    train(teacher, data, Recipe(epochs=6, batch_size=16, lr=0.05))
    before = _weights(teacher)
    images = torch.stack([data.validation[i][0] for i in range(60)])
    distances = {}
    for weight in (0.0, 1.0):
        network = make(seed=2)
        recipe = Recipe(epochs=6, batch_size=16, lr=0.05, distillation=weight)
        train(network, data, recipe, teacher=teacher)
        with torch.no_grad():
            distances[weight] = float(imitation(network(images), teacher(images), 4.0))
    assert distances[1.0] < 0.7 * distances[0.0]
    assert _same(before, _weights(teacher))


def test_imitation_is_zero_only_for_the_same_opinion() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert float(imitation(logits, logits + 3.0, 2.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(imitation(logits, -logits, 2.0)) > 0.1


def test_losses_and_a_teacher_exclude_each_other(make: Make, data: Data) -> None:
    with pytest.raises(InputError, match="got both"):
        train(make(), data, RECIPE, teacher=make(), losses=lambda *_: iter(()))


def test_losses_that_yield_nothing_are_refused(make: Make, data: Data) -> None:
    with pytest.raises(InputError, match="yielded none"):
        train(make(), data, RECIPE, losses=lambda *_: iter(()))


def test_progress_counts_the_steps_of_the_whole_run(make: Make, data: Data) -> None:
    seen: list[TrainingProgress] = []
    train(make(), data, RECIPE, on_step=seen.append)
    assert [p.done for p in seen] == list(range(1, 19))
    assert {p.total for p in seen} == {18}
    assert all(p.images_per_second > 0 for p in seen)


def test_recalibration_before_the_first_epoch_is_part_of_the_recipe(make: Make, data: Data) -> None:
    first, second = make(), make()
    first.get_submodule("1").running_mean.fill_(-50.0)  # type: ignore[operator]
    after = copy.deepcopy(first)
    recipe = Recipe(epochs=1, batch_size=16, lr=1e-9, recalibration=4)
    assert train(first, data, recipe).last.validation_loss < 3
    plain = Recipe(epochs=1, batch_size=16, lr=1e-9)
    assert train(after, data, plain).last.validation_loss > 3
    assert train(second, data, plain).last.validation_loss < 3
