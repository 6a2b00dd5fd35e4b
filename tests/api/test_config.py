"""Settings from arguments and environment."""

import msgspec
import pytest

from runyard.config import Settings, load
from runyard.core.errors import RunyardError


def test_an_argument_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"RUNYARD_PORT": "1", "RUNYARD_DEV": "true", "RUNYARD_ALLOWED_PATHS": "/a:/b"}
    given = load({"port": 2, "host": None}, environment)
    assert (given.port, given.host, given.dev, given.allowed_paths) == (2, "127.0.0.1", True, ["/a", "/b"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "x"), ("PORT", "65536"), ("DEV", "perhaps"), ("BODY_CAP", "-1"), ("STORE", "mysql://x")],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(RunyardError) as caught:
        load({}, {f"RUNYARD_{name}": value})
    assert caught.value.field == name.lower()


def test_every_setting_is_described() -> None:
    for name, schema in msgspec.json.schema_components([Settings])[1]["Settings"]["properties"].items():
        assert schema["description"].endswith("."), name
