"""What changed since the last clustering, and what to do about it, in one line each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.cluster_drift import Drift, drift, places
from hdap.clustering.device_software import contradicts, current_software, software_history
from hdap.fleet_data.errors import HdapError, NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Measurements
from hdap.fleet_data.software import show_software
from hdap.fleet_data.wording import counted, date, percent, times
from hdap.surrogate.models.registry import load_surrogate
from hdap.surrogate.training_data.training_cells import training_data
from hdap.surrogate.validation.calibration_check import Residuals, off_by, residuals
from hdap.workflows.next_commands import command_line, plan_command, search_command

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

Action = Literal["nothing", "cluster again", "measure again", "fit again", "search again"]
Kind = Literal[
    "software", "moved devices", "outliers", "new devices", "changed clusters", "surrogates"
]
FEW = 0.02
"""Share of devices that may move, or be new, before the clusters themselves are in question."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared: what is so, what to do, and the command that does it."""

    kind: Kind
    model: str
    says: str
    action: Action
    command: str

    def __str__(self) -> str:
        if self.action == "nothing":
            return self.says
        return f"{self.says}: {self.action} ({self.command})"


def findings(
    store: "Store", clustering: ClusteringRecord, models: tuple[str, ...]
) -> tuple[Finding, ...]:
    """Everything that was compared with what the clustering and its surrogates assumed.

    Empty where no telemetry came since the clustering.
    """
    found: list[Finding] = []
    if store.measurement_mark() > clustering.measurement_mark:
        measurements, new = store.measurements_since(clustering.measurement_mark)
        changed, told = _software(measurements, clustering)
        found += told
        found += _of_devices(drift(measurements, new, clustering, changed), clustering, models)
    for model in models:
        found += _of_surrogates(store, clustering, model)
    return tuple(found)


def _software(
    measurements: Measurements, clustering: ClusteringRecord
) -> tuple[Bools, list[Finding]]:
    """Which of D devices run other software than when they were clustered, and what to say."""
    known, place = places(measurements, clustering)
    now = current_software(measurements)
    was = clustering.software[place] if len(clustering.software) else now
    pairs = list(zip(was.tolist(), now.tolist(), strict=True))
    other = {pair: contradicts(*pair) for pair in set(pairs)}
    changed = known & np.array([other[pair] for pair in pairs], dtype=np.bool_)
    if not changed.any():
        return changed, []
    first = int(np.flatnonzero(changed)[0])
    since = software_history(measurements, now).since[first]
    dated = f"since {date(since)} " if np.isfinite(since) else "now "
    says = (
        f"{counted(int(changed.sum()), 'device')} of {len(known):,} changed what they run, another "
        f"state and no drift ({measurements.devices.ids[first]}: "
        f"{show_software(was[first])}, {dated}{show_software(now[first])})"
    )
    return changed, [Finding("software", "", says, "cluster again", "hdap cluster")]


def _of_devices(
    seen: Drift, clustering: ClusteringRecord, models: tuple[str, ...]
) -> list[Finding]:
    fleet = max(len(clustering.device_ids), 1)
    found = []
    if seen.devices:
        found.append(_moved(seen, clustering))
    if len(seen.outlying):
        found.append(_outlying(seen))
    if len(seen.unknown):
        new = counted(len(seen.unknown), "new device is", "new devices are")
        says = f"{new} in no cluster"
        found.append(Finding("new devices", "", says, *_beyond(len(seen.unknown), fleet)))
    if seen.clusters:
        return [*found, *_changed(seen, models)]
    if seen.rows:
        says = f"too few everyday rows came ({seen.rows:,}) to tell whether a cluster changed"
        found.append(Finding("changed clusters", "", says, "nothing", ""))
    return found


def _moved(seen: Drift, clustering: ClusteringRecord) -> Finding:
    moved, of = len(seen.moved), counted(seen.devices, "device")
    if not moved:
        says = f"{of} reported since, and none behaves as another cluster than its own"
        return Finding("moved devices", "", says, "nothing", "")
    behave = "behaves" if moved == 1 else "behave"
    says = (
        f"{moved:,} of {of} that reported since {behave} as another cluster "
        f"({_named(seen.moved)}{_grown(seen, clustering)})"
    )
    return Finding("moved devices", "", says, *_beyond(moved, len(clustering.device_ids)))


def _grown(seen: Drift, clustering: ClusteringRecord) -> str:
    """The cluster that most devices came to, net, with its size before and now."""
    clusters = len(clustering.clusters)
    size = np.bincount(clustering.cluster, minlength=clusters)
    net = np.bincount(seen.moved_to, minlength=clusters)
    net = net - np.bincount(seen.moved_from, minlength=clusters)
    most = int(net.argmax())
    if net[most] <= 0:
        return ""
    return f"; cluster {most} grew from {size[most]:,} to {size[most] + net[most]:,} devices"


def _outlying(seen: Drift) -> Finding:
    """Every one is worth a look, however large the fleet is."""
    behave = counted(len(seen.outlying), "device behaves", "devices behave")
    says = f"{behave} like no cluster any more ({_named(seen.outlying)})"
    return Finding("outliers", "", says, "cluster again", "hdap cluster")


def _named(devices: NDArray[np.object_]) -> str:
    return ", ".join(str(d) for d in devices[:5]) + (" ..." if len(devices) > 5 else "")


def _changed(seen: Drift, models: tuple[str, ...]) -> list[Finding]:
    if not seen.changed:
        judged = counted(len(seen.clusters), "cluster that", "clusters that")
        says = f"none of {judged} reported enough changed its latency beyond noise"
        return [Finding("changed clusters", "", says, "nothing", "")]
    found = []
    for change in seen.changed:
        word = "slower" if change.change > 0 else "faster"
        says = (
            f"cluster {change.cluster} grew {percent(abs(change.change))} {word} "
            f"({counted(change.devices, 'device')})"
        )
        command = plan_command(models[0]) if models else "hdap plan"
        found.append(Finding("changed clusters", "", says, "measure again", command))
    return found


def _beyond(count: int, fleet: int) -> tuple[Action, str]:
    return ("cluster again", "hdap cluster") if count > FEW * fleet else ("nothing", "")


def _of_surrogates(store: "Store", clustering: ClusteringRecord, model: str) -> list[Finding]:
    """New pruned rows of a model against its surrogates of this clustering."""
    records = store.surrogates(model, clustering.id, "fleet")
    if not records:
        return []
    mark = max(r.measurement_mark for r in records)
    if not store.rows_after(mark, model):
        return []
    unseen = store.measurements(model, after_mark=mark)
    architecture = store.architecture(model)
    try:
        surrogate = load_surrogate("fleet", architecture, tuple(r.payload for r in records))
        seen = residuals(surrogate, training_data(architecture, unseen, clustering))
    except NotEnoughDataError:
        return []
    except HdapError as error:
        says = f"the surrogates of {model} cannot be compared ({error})"
        return [Finding("surrogates", model, says, "fit again", _fit(model))]
    return [_of_residuals(model, r) for r in seen]


def _fit(model: str) -> str:
    return command_line("fit", "--model", model)


def _of_residuals(model: str, seen: Residuals) -> Finding:
    says = (
        f"{model}, cluster {seen.cluster}: of {counted(seen.cells, 'new pruned measurement')} "
        f"{seen.inside:,} in the predicted 90 % interval, "
    )
    if seen.off:
        says += f"predictions are off by {times(off_by(1.0 + seen.bias))}"
        return Finding("surrogates", model, says, "fit again", _fit(model))
    word = "slower" if seen.bias > 0 else "faster"
    says += f"{percent(abs(seen.bias))} {word} than predicted"
    if not seen.left:
        return Finding("surrogates", model, says, "nothing", "")
    return Finding("surrogates", model, says, "search again", search_command(model))
