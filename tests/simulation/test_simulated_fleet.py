import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from hdap.fleet_data.documents import from_plain
from hdap.fleet_data.errors import InputError
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import FleetSpec, SimulatedFleet, draw_fleet


@pytest.mark.parametrize("name", PRESETS)
def test_a_spec_reads_back_from_json_and_draws_the_same_fleet(name: str) -> None:
    spec = preset(name, 300, seed=9)
    again = from_plain(json.loads(json.dumps(asdict(spec))), FleetSpec, "the spec", "")
    assert again == spec
    one, other = draw_fleet(spec), draw_fleet(again)
    assert np.array_equal(one.kind, other.kind)
    assert np.array_equal(one.core, other.core)


@pytest.mark.parametrize("name", PRESETS)
def test_kinds_keep_their_shares(name: str) -> None:
    fleet = draw_fleet(preset(name, 1000, seed=1))
    shares = np.array([k.share for k in fleet.spec.kinds])
    counts = np.bincount(fleet.kind, minlength=len(shares))
    assert np.abs(counts - 1000 * shares / shares.sum()).max() <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_truth_stays_in_its_bounds(name: str) -> None:
    fleet = draw_fleet(preset(name, 2000, seed=4))
    for share in (fleet.clock, fleet.load, fleet.steady_clock):
        assert ((share > 0) & (share <= 1)).all()
    assert ((fleet.traffic >= 0) & (fleet.traffic <= 1)).all()
    assert (fleet.weight > 0).all()
    assert all(str(i).startswith("sim-") for i in fleet.ids)
    assert len(set(fleet.ids)) == len(fleet)


def test_another_seed_draws_another_fleet(cameras: SimulatedFleet) -> None:
    other = draw_fleet(replace(cameras.spec, seed=6))
    assert not np.array_equal(cameras.kind, other.kind)


def test_old_devices_are_slower_and_worn_batteries_take_clock_away() -> None:
    fleet = draw_fleet(preset("phones", 4000, seed=1))
    worn = fleet.kind == [k.name for k in fleet.spec.kinds].index("worn")
    assert np.corrcoef(fleet.age_years, fleet.core)[0, 1] > 0.5
    assert fleet.battery_health_pct[worn].mean() < fleet.battery_health_pct[~worn].mean() - 10
    assert fleet.clock[worn].mean() < 0.97


def test_devices_are_found_by_id(cameras: SimulatedFleet) -> None:
    some = cameras.find(("sim-007", "sim-003"))
    assert some.ids.tolist() == ["sim-007", "sim-003"]
    assert some.core.tolist() == [cameras.core[7], cameras.core[3]]
    with pytest.raises(InputError, match="unit-1"):
        cameras.find(("unit-1",))


def test_wrong_specs_are_refused() -> None:
    with pytest.raises(InputError, match="cameras"):
        preset("toasters", 5)
    with pytest.raises(InputError, match="devices=0"):
        preset("cameras", 0)
    kind = replace(preset("cameras", 1).kinds[0], sensors=("smell",))
    with pytest.raises(InputError, match="smell"):
        FleetSpec("x", (kind,), 1)
