"""What is generated in docs/ says what the code does now, and what a result is described as is what it is."""

from __future__ import annotations

import json

import jsonschema
import pytest

from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from dev.docs import DOCS, generated
from tests.support.answers import image_success, successes
from tests.support.official import api_model

ANSWERS = successes() | {"image": image_success()}
GENERATED = generated()
SCHEMA = json.loads((DOCS / "result.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["coverage.md", "result.schema.json"])
def test_what_is_generated_is_up_to_date(name: str) -> None:
    """Committed as the code writes it: `python -m dev.docs` brings it up to date."""
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name], "run python -m dev.docs"


def test_every_generated_file_is_compared() -> None:
    """None is left out above."""
    assert set(GENERATED) == {"coverage.md", "result.schema.json"}


def test_every_result_class_is_in_the_coverage_table() -> None:
    """Each field of the API model that holds a result has its row, and each row says how its failure is seen."""
    table = (DOCS / "coverage.md").read_text(encoding="utf-8")
    holders = ("MediaProcessTaskResult", "AiContentReviewResult", "AiAnalysisResult", "AiRecognitionResult")
    for holder in (*holders, "SmartSubtitlesResult", "ActivityResItem", "LiveActivityResItem"):
        for member in api_model()["objects"][holder]["members"]:
            if member["name"].endswith("Task"):
                assert f".{member['name']}`" in table, member["name"]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert all(row[1] for row in rows)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_result_is_what_its_schema_says(name: str) -> None:
    """Every result validates against the published JSON Schema, which knows each of its fields."""
    value = MpsTaskResult.of(TaskDetail.of(ANSWERS[name], is_image=name == "image"), "t").as_json()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(json.dumps(value)), SCHEMA)
    assert set(value) == set(SCHEMA["properties"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**value, "outputs": "none"}, SCHEMA)


def test_a_value_of_a_later_release_is_read_too() -> None:
    """New fields do not change the version, so an older worker passes over them."""
    value = MpsTaskResult(mps_task_id="t").as_json() | {"some_new_field": {"a": 1}}
    assert MpsTaskResult.model_validate(value).mps_task_id == "t"
