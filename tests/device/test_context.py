from collections.abc import Callable
from pathlib import Path

import pytest

from hdap.device.measure.context import device_identity, termux_battery
from hdap.device.sensors import (
    battery_health_pct,
    battery_pct,
    cpu_freq_mhz,
    cpu_ticks,
    governor,
    gpu_freq_mhz,
    mem_available_mb,
    others_load_pct,
    power_w,
    temperature_c,
)

Tree = Callable[[dict[str, str]], str]
READERS = (
    cpu_freq_mhz,
    gpu_freq_mhz,
    temperature_c,
    mem_available_mb,
    battery_pct,
    battery_health_pct,
    power_w,
)


@pytest.mark.parametrize("reader", READERS)
def test_what_the_system_does_not_tell_is_empty(
    reader: Callable[[str], float | None], tmp_path: Path
) -> None:
    assert reader(str(tmp_path)) is None


def test_the_clock_is_that_of_the_fastest_core(pieces: Tree) -> None:
    root = pieces(
        {
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
            "sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq": "2841600\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
            "sys/devices/system/cpu/cpu7/cpufreq/scaling_governor": "performance\n",
        }
    )
    assert cpu_freq_mhz(root) == pytest.approx(2841.6)
    assert governor(root) == "performance+schedutil"


def test_a_virtual_machine_tells_its_clock_in_cpuinfo(pieces: Tree) -> None:
    root = pieces({"proc/cpuinfo": "processor: 0\ncpu MHz\t\t: 2596.144\ncpu MHz\t\t: 2100.0\n"})
    assert cpu_freq_mhz(root) == pytest.approx(2596.144)


@pytest.mark.parametrize("name", ["17000000.ga10b", "57000000.gpu", "fde60000.gpu"])
def test_a_gpu_is_found_among_the_devfreq_devices(pieces: Tree, name: str) -> None:
    root = pieces(
        {
            "sys/class/devfreq/17000000.dmc/cur_freq": "1560000000",
            f"sys/class/devfreq/{name}/cur_freq": "921600000",
        }
    )
    assert gpu_freq_mhz(root) == pytest.approx(921.6)


def test_the_processor_counts_not_the_battery_and_not_a_broken_zone(pieces: Tree) -> None:
    root = pieces(
        {
            "sys/class/thermal/thermal_zone0/type": "CPU-therm\n",
            "sys/class/thermal/thermal_zone0/temp": "51250\n",
            "sys/class/thermal/thermal_zone1/type": "battery\n",
            "sys/class/thermal/thermal_zone1/temp": "61000\n",
            "sys/class/thermal/thermal_zone2/type": "cpu-1\n",
            "sys/class/thermal/thermal_zone2/temp": "-274000\n",
            "sys/class/thermal/thermal_zone3/type": "cpu-2\n",
            "sys/class/thermal/thermal_zone3/temp": "no reading\n",
        }
    )
    assert temperature_c(root) == pytest.approx(51.25)


def test_zones_in_whole_degrees_are_read_as_such(pieces: Tree) -> None:
    root = pieces({"sys/class/thermal/thermal_zone0/temp": "47"})
    assert temperature_c(root) == 47


def test_a_desktop_tells_its_temperature_through_hwmon(pieces: Tree) -> None:
    root = pieces(
        {
            "sys/class/hwmon/hwmon0/name": "nvme",
            "sys/class/hwmon/hwmon0/temp1_input": "70000",
            "sys/class/hwmon/hwmon1/name": "coretemp",
            "sys/class/hwmon/hwmon1/temp1_input": "44000",
        }
    )
    assert temperature_c(root) == 44


def test_available_memory(pieces: Tree) -> None:
    root = pieces({"proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  2048000 kB\n"})
    assert mem_available_mb(root) == 2000


def test_a_battery_tells_charge_health_and_power(pieces: Tree) -> None:
    supply = "sys/class/power_supply"
    root = pieces(
        {
            f"{supply}/ac/type": "Mains",
            f"{supply}/ac/capacity": "1",
            f"{supply}/bat/type": "Battery",
            f"{supply}/bat/status": "Discharging",
            f"{supply}/bat/capacity": "87",
            f"{supply}/bat/charge_full": "3600000",
            f"{supply}/bat/charge_full_design": "4000000",
            f"{supply}/bat/voltage_now": "4000000",
            f"{supply}/bat/current_now": "-500000",
        }
    )
    assert battery_pct(root) == 87
    assert battery_health_pct(root) == pytest.approx(90)
    assert power_w(root) == pytest.approx(2.0)


def test_a_charging_battery_says_nothing_about_the_power_drawn(pieces: Tree) -> None:
    supply = "sys/class/power_supply/bat"
    root = pieces(
        {f"{supply}/type": "Battery", f"{supply}/status": "Charging", f"{supply}/power_now": "9e6"}
    )
    assert power_w(root) is None


def test_a_battery_above_its_design_is_wholly_healthy(pieces: Tree) -> None:
    supply = "sys/class/power_supply/bat"
    root = pieces(
        {
            f"{supply}/type": "Battery",
            f"{supply}/energy_full": "5100",
            f"{supply}/energy_full_design": "5000",
        }
    )
    assert battery_health_pct(root) == 100


@pytest.mark.parametrize(
    "files",
    [
        {"sys/bus/i2c/drivers/ina3221x/1-0040/iio:device0/in_power0_input": "5250"},
        {
            "sys/class/hwmon/hwmon3/name": "ina3221",
            "sys/class/hwmon/hwmon3/in1_input": "5000",
            "sys/class/hwmon/hwmon3/curr1_input": "1050",
        },
    ],
)
def test_the_power_rail_of_a_jetson(pieces: Tree, files: dict[str, str]) -> None:
    assert power_w(pieces(files)) == pytest.approx(5.25)


def test_the_load_is_what_others_use_not_the_measuring_itself(pieces: Tree) -> None:
    root = pieces({"proc/stat": "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8\n"})
    before = cpu_ticks(root)
    pieces({"proc/stat": "cpu  250 0 100 900 50 0 0 0 0 0\n"})
    after = cpu_ticks(root)
    assert before == (150, 1000)
    assert others_load_pct(before, after, own_seconds=1.5) == pytest.approx(100 * 50 / 300)
    assert others_load_pct(None, after, 0) is None


def test_termux_tells_the_battery_through_its_command(tmp_path: Path) -> None:
    command = tmp_path / "termux-battery-status"
    command.write_text('#!/bin/sh\necho \'{"percentage": 64, "temperature": 31.5}\'\n')
    command.chmod(0o755)
    assert termux_battery(str(command)) == {"battery_pct": 64, "temperature_c": 31.5}


@pytest.mark.parametrize("script", ["exit 1", "echo not JSON", "echo '{\"percentage\": null}'"])
def test_a_broken_termux_command_tells_nothing(tmp_path: Path, script: str) -> None:
    command = tmp_path / "termux-battery-status"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    assert termux_battery(str(command)) == {}


def test_a_device_keeps_its_name_and_does_not_tell_its_serial_number(pieces: Tree) -> None:
    root = pieces({"etc/machine-id": "abc123\n", "proc/device-tree/serial-number": "1422919"})
    name = device_identity(root)
    assert name == device_identity(root)
    assert "1422919" not in name
    assert "abc123" not in name
    pieces({"proc/device-tree/serial-number": "1422920"})
    assert device_identity(root) != name


def test_a_phone_without_any_identity_gets_one_and_keeps_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first = device_identity(str(tmp_path), str(home))
    assert first == device_identity(str(tmp_path), str(home))
    (home / ".hdap-device").unlink()
    assert first != device_identity(str(tmp_path), str(home))
