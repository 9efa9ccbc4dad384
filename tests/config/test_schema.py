import jsonschema
import pytest
from pydantic import BaseModel

from llm_orc.config.reading import parse
from llm_orc.config.schema import described, schema
from llm_orc.config.settings import Settings
from llm_orc.domain import ensemble, model, price, profile
from llm_orc.domain.read import Read
from tests.config.test_written import EVERYTHING

MODELS = [
    thing
    for space in (vars(ensemble), vars(profile), vars(model), vars(price), {"Settings": Settings})
    for thing in space.values()
    if isinstance(thing, type) and issubclass(thing, Read) and thing is not Read
]


@pytest.mark.parametrize("kind", ["ensemble", "profile", "config"])
def test_it_is_a_schema_and_describes_every_key(kind: str) -> None:
    made = schema(kind)  # type: ignore[arg-type]
    jsonschema.Draft202012Validator.check_schema(made)
    for part in (made, *made.get("$defs", {}).values()):
        assert [key for key, value in part.get("properties", {}).items() if not value.get("description")] == []


def test_it_takes_a_whole_ensemble_and_no_typo() -> None:
    data = parse(EVERYTHING.replace("free: ", "free: {}").replace("{agent_name: lint}", "lint"), "x").data
    jsonschema.validate(data, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"agnets": []}, schema())


def test_the_file_gives_the_name() -> None:
    jsonschema.validate({"agents": [{"name": "a"}]}, schema())
    jsonschema.validate({"model": "x", "provider": "y"}, schema("profile"))


def test_profiles_in_config_are_checked() -> None:
    jsonschema.validate({"model_profiles": {"fast": {"model": "x", "provider": "y"}}}, schema("config"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"model_profiles": {"fast": {"modl": "x"}}}, schema("config"))


@pytest.mark.parametrize("model", MODELS)
def test_every_key_of_every_model_has_a_sentence(model: type[BaseModel]) -> None:
    python_only = {"function"}
    assert [key for key, text in described(model).items() if not text and key not in python_only] == []
