"""What a person may write in hosts.toml, and what is told of the rest."""

from pathlib import Path

import pytest

from hdap.fleet_data.errors import InputError
from hdap.remote.hosts import Host, read_hosts

GOOD = """
[north-gate]
host = "10.0.0.5"
user = "pi"
port = 2222
key = "~/.ssh/fleet"

["phone.7"]
adb = "R58M"
python = "/data/python3"
"""


def test_devices_are_tables_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(GOOD)
    assert read_hosts(file) == {
        "north-gate": Host(host="10.0.0.5", user="pi", port=2222, key="~/.ssh/fleet"),
        "phone.7": Host(adb="R58M", python="/data/python3"),
    }
    assert [str(host) for host in read_hosts(file).values()] == ["pi@10.0.0.5:2222", "adb R58M"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "but has none"),
        ("[a]\n", r"\[a\] .* but has neither"),
        ('[a]\nhost = "x"\nadb = "y"\n', "but has both"),
        ('[a]\nhost = "x"\nport = "22"\n', r"port` is \"22\": expected `int`"),
        ('[a]\nhost = "x"\nport = 0\n', r"port` is 0: expected `int` >= 1"),
        ('[a]\nhsot = "x"\n', r"unknown, .*hsot"),
        ('host = "x"\n', r"host.* is \"x\": expected `object`"),
        ("[a\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as told:
        read_hosts(file)
    assert len(str(told.value).splitlines()) == 1
    assert str(file) in str(told.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_hosts(tmp_path / "hosts.toml")
