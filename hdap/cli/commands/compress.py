"""`hdap compress`: the whole loop from a trained network to one that meets a budget."""

import os

from hdap.cli.settings.training_commands import CompressCommand
from hdap.cli.tables import compression_table as compressed
from hdap.cli.tables.training_watch import read_data
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, say
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import percent
from hdap.networks.criteria import criterion
from hdap.requests.training_request import judged_by
from hdap.training.load_data import image_readers
from hdap.workflows.artifacts import measured_architecture
from hdap.workflows.compress_network import Compression


def run(asked: CompressCommand) -> None:
    """Do the steps that are left and print all of them."""
    request, out = asked.request, asked.out
    criterion(request.criterion)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "a compression is one process, but torchrun started several; compress with few "
            "--epochs and tune the result: torchrun -m hdap finetune"
        )
    with open_store(asked.db, create=False) as store:
        shape = measured_architecture(store, request.model, say).input_shape
        seed, labelled = request.recipe.seed, not request.loss
        data = read_data(request, request.model, shape, seed, labelled=labelled)
        judged = judged_by(request.loss, request.metric)
        readers = image_readers(asked.workers, request.data)
        work = Compression.begin(
            store, request, data, out, say, resume=asked.resume, workers=readers
        )
        with compressed.watching(store, work, request) as watch:
            for done in work.remaining(watch):
                say(
                    f"step {done.step} of {request.steps}: {judged} "
                    f"{percent(done.accuracy_before)} before, {percent(done.accuracy_pruned)} "
                    f"pruned, {percent(done.accuracy_after or 0.0)} tuned"
                )
        if asked.as_json:
            emit_json(compressed.document(work.journal, out))
        else:
            compressed.show(work.journal, work.schedule, out)
