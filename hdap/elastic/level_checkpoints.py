"""What a training of levels leaves: checkpoints, rows of the store, lines for who watches."""

from collections.abc import Callable
from dataclasses import replace

from hdap.elastic.elastic_model import ElasticModel
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import save_checkpoint
from hdap.networks.manifest import ElasticManifest
from hdap.training.datasets import Data
from hdap.training.distributed import rank
from hdap.training.finetuning import FineTuning, TrainingWatch, epoch_record, tuning_of
from hdap.training.network_quality import Quality
from hdap.training.resuming import encode
from hdap.training.training_history import Epoch
from hdap.training.training_loop import Snapshot


class Keeper:
    """Writes what an epoch leaves: the checkpoint, then the row that says so."""

    def __init__(
        self,
        manifest: ElasticManifest,
        data: Data,
        wanted: FineTuning,
        watch: TrainingWatch,
        run: str,
        *,
        force: bool,
    ) -> None:
        self.watch, self.epochs = watch, list[Epoch]()
        self._manifest, self._data, self._wanted = manifest, data, wanted
        self._run, self._force, self._written = run, force, 0
        earlier = manifest.tunings
        self._earlier = earlier[:-1] if earlier and earlier[-1].run == run else earlier

    @property
    def last_good(self) -> str:
        """For an error: what is in the folder."""
        if not self._written:
            return "no epoch of this run was written"
        return f"{self._wanted.out} holds the last good checkpoint, of epoch {self._written}"

    def keep(
        self,
        model: ElasticModel,
        stage: int,
        epoch: Epoch,
        snapshot: Callable[[], Snapshot],
        *,
        weights: bool = False,
    ) -> None:
        """A checkpoint to go on from; `weights`: those in training are not the model's."""
        self._note(epoch, stage)
        if rank() == 0:
            self._save(model, encode(snapshot(), weights=weights))
        self._written = epoch.number
        self.tell(epoch)

    def tell(self, epoch: Epoch) -> None:
        """A row and a line, no checkpoint."""
        self.epochs.append(epoch)
        self._note(epoch, self._manifest.stage)
        if rank() == 0 and self.watch.store is not None:
            self.watch.store.save_epochs([epoch_record(self._manifest, self._wanted, epoch)])
        if self.watch.on_epoch is not None:
            self.watch.on_epoch(epoch)

    def finish(self, model: ElasticModel, qualities: tuple[Quality, ...]) -> ElasticManifest:
        """The checkpoint of a training that is complete."""
        *earlier, last = self._manifest.tunings
        best = qualities[-1]
        last = replace(last, accuracy=best.accuracy, validation_loss=best.loss)
        accuracies = tuple(quality.accuracy for quality in qualities)
        self._manifest = replace(self._manifest, tunings=(*earlier, last), accuracies=accuracies)
        if rank() == 0:
            self._save(model, None)
        return self._manifest

    def _note(self, epoch: Epoch, stage: int) -> None:
        tuning = tuning_of(self._wanted, self._run, self._data, epoch)
        tunings = (*self._earlier, tuning)
        self._manifest = replace(self._manifest, tunings=tunings, stage=stage)

    def _save(self, model: ElasticModel, state: bytes | None) -> None:
        try:
            self._manifest = save_checkpoint(
                self._wanted.out, model, self._manifest, force=self._force, state=state
            )
        except InputError as error:
            raise InputError(f"{error}; {self.last_good}") from error
        self._force = True
