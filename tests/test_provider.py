"""What Airflow sees of the package: provider info, form, examples, import cost."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points, requires
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from airflow.sdk.module_loading import import_string

from airflow_provider_mps import __version__
from airflow_provider_mps.client.config import EXTRAS, ClientConfig
from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.get_provider_info import get_provider_info
from airflow_provider_mps.operators import mps as operators

ROOT = Path(__file__).resolve().parent.parent
INFO = get_provider_info()
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))


def test_provider_info_fits_airflows_schema() -> None:
    """The dict passes the schema that Airflow checks it with."""
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_provider_info_fits_the_stricter_schema_too() -> None:
    """Airflow holds its own providers to more: every key is known, also in connections, fields, links and assets."""
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider.yaml.schema.json").read_text())
    assert set(INFO) <= set(schema["properties"])
    for key, value in INFO.items():
        jsonschema.validate(value, schema["properties"][key] | {"definitions": schema.get("definitions", {})})


def test_the_registry_knows_every_public_class() -> None:
    """What the provider registry reads names each class that users import, with a line about it, and nothing else."""
    registry = yaml.safe_load((ROOT / ".airflow-registry.yaml").read_text(encoding="utf-8"))
    names = {"package-name": "package-name", "display-name": "name", "description": "description"}
    assert {key: registry[key] for key in names} == {key: INFO[name] for key, name in names.items()}
    kinds = ("operators", "sensors", "hooks", "triggers")
    listed = {kind: {item["module"] for item in registry[kind]} for kind in kinds}
    base = "airflow_provider_mps"
    assert listed == {
        "operators": {f"{base}.operators.mps.{name}" for name in operators.__all__},
        "sensors": {f"{base}.sensors.mps.MpsTaskSensor"},
        "hooks": {f"{base}.hooks.mps.MpsHook"},
        "triggers": {f"{base}.triggers.mps.MpsTaskTrigger"},
    }
    assert all(import_string(name).__doc__ for names in listed.values() for name in names)
    assert all(item["description"] for kind in kinds for item in registry[kind])


def test_entry_point_is_installed() -> None:
    """Airflow finds the provider by its entry point."""
    found = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.module.startswith("airflow_provider_mps.")
    ]
    assert [point.load()() for point in found] == [INFO]


def test_every_name_in_the_info_exists() -> None:
    """Class and module paths can be imported."""
    for connection in INFO["connection-types"]:
        hook = import_string(connection["hook-class-name"])
        assert hook.conn_type == connection["connection-type"]
        assert hook.hook_name == connection["hook-name"]
    for uris in INFO["asset-uris"]:
        assert all(callable(import_string(uris[role])) for role in set(uris) - {"schemes"})
    for name in INFO["extra-links"]:
        assert import_string(name)().name
    for kind in ("hooks", "triggers", "sensors", "operators"):
        for entry in INFO[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)


def test_the_form_has_every_setting_that_is_read() -> None:
    """And no other; what each does on its way to MPS is shown in tests/hooks/test_settings.py."""
    fields = INFO["connection-types"][0]["conn-fields"]
    assert set(fields) == set(EXTRAS)
    for name, form_field in fields.items():
        assert form_field["label"], name
        assert form_field["description"], name


def test_what_the_form_refuses_is_refused_by_the_client_too() -> None:
    """A connection may be written by other hands than the form's: its bounds are those of the client."""
    for name, form_field in INFO["connection-types"][0]["conn-fields"].items():
        schema = form_field["schema"]
        fields: dict[str, Any] = {"login": "a", "password": "b", "host": None, "port": None}
        with_role = {"role_arn": "qcs::cam::uin/100000000001:roleName/media"}
        for bad in (
            *([schema["minimum"] - 1] if "minimum" in schema else []),
            *([schema["maximum"] + 1] if "maximum" in schema else []),
            *(["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else []),
            *(["something else"] if "enum" in schema else []),
        ):
            with pytest.raises(MpsConfigError):
                ClientConfig.from_connection(**fields, extra=with_role | {name: bad})
        for good in schema.get("enum", ()):
            keys = {"login": None, "password": None} if name == "credential_source" and good != "static" else {}
            ClientConfig.from_connection(**fields | keys, extra={name: good})


@pytest.mark.fault("F62")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_parse(path: Path) -> None:
    """Each example is at most 40 lines, and parses without a connection or a network."""
    from airflow.dag_processing.dagbag import DagBag

    assert len(path.read_text().splitlines()) <= 40
    bag = DagBag(path)
    assert bag.import_errors == {}
    assert path.stem in bag.dags


@pytest.mark.fault("F75")
def test_importing_operators_stays_light() -> None:
    """A DAG file loads no HTTP client, no subtitle library and no result model."""
    code = (
        "import sys, airflow_provider_mps.sensors.mps, airflow_provider_mps.operators.mps,"
        " airflow_provider_mps.triggers.mps, airflow_provider_mps.hooks.mps;"
        "print([name for name in ('requests', 'aiohttp', 'pysubs2', 'airflow_provider_mps.results.task',"
        " 'airflow_provider_mps.client.actions') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_official_sdk_is_a_test_dependency_only() -> None:
    """Who installs the provider does not get a second client."""
    plain = [need for need in requires("airflow-provider-mps") or [] if "extra ==" not in need]
    assert not [need for need in plain if "tencentcloud" in need or "tccli" in need]


def test_versions_agree() -> None:
    """Metadata, provider info and changelog name the same version."""
    from importlib.metadata import version

    assert version("airflow-provider-mps") == __version__ == INFO["versions"][0]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.fault("F76")
def test_the_form_is_built_without_a_form_library() -> None:
    """Airflow without Flask-AppBuilder shows all fields: they are data, and no form is made by code of ours."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('flask_appbuilder', 'wtforms', 'flask_babel')))\n"
        "from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService\n"
        "[meta] = [each for each in HookMetaService.hook_meta_data() if each.connection_type == 'tencentcloud_mps']\n"
        "print(meta.hook_name, *sorted(meta.extra_fields), sep='\\n')"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    name, *fields = finished.stdout.splitlines()[-1 - len(INFO["connection-types"][0]["conn-fields"]) :]
    assert name == "Tencent Cloud MPS"
    assert set(fields) == set(INFO["connection-types"][0]["conn-fields"])
