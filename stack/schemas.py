"""Schemas of the real APIs that the deployment files are written for, taken from pinned Go modules.

Kubernetes publishes its API as OpenAPI in ``k8s.io/kubernetes``, the OpenTelemetry Operator its custom resource definitions as
files. The Prometheus Operator's definitions are generated from its Go types with controller-gen, as its maintainers do it.
``tests/stack/binaries/schemas`` pins the first two, ``tests/stack/binaries/crds`` the types and the generator.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from stack.servers.binaries import BINARIES, GET_GO, PINS, BinaryMissingError, binary, cache_folder

__all__ = ["SCHEMA_LOCATION", "custom_resources", "kubernetes_schemas", "module_file"]

SCHEMA_LOCATION = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"
"""Name of a kind's file in the folder of ``kubernetes_schemas``, as a template of kubeconform."""

_MONITORING = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
_COLLECTOR_CRDS = ("opentelemetry.io_opentelemetrycollectors.yaml", "opentelemetry.io_targetallocators.yaml")
_OBJECT_META = {"$ref": "api__v1_openapi.json#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}

_Schema: TypeAlias = dict[str, Any]


@functools.cache
def module_file(module: str, path: str) -> Path:
    """Returns a file of a Go module that ``tests/stack/binaries/schemas`` pins, downloaded first if Go's cache lacks it.

    Raises:
        BinaryMissingError: If Go is missing, or the module cannot be downloaded or is not the pinned one.
    """
    go = shutil.which("go")
    if go is None:
        raise BinaryMissingError(f"{module} is downloaded with Go, which is not installed: {GET_GO}")
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    command = [go, "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=PINS / "schemas", env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BinaryMissingError(f"{module} could not be downloaded: {(done.stdout + done.stderr).strip()}")
    return Path(json.loads(done.stdout)["Dir"]) / path


def kubernetes_schemas() -> Path:
    """Returns the folder with a strict JSON schema of each kind of Kubernetes and of both operators, written first if missing.

    A schema admits exactly the fields that the API server keeps: it refuses a field that the API server would drop or reject.

    Raises:
        BinaryMissingError: If Go is missing, or a module cannot be downloaded or built.
    """
    folder = cache_folder() / f"schemas-{_digest()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="schemas-") as staged:
                _write_schemas(Path(staged) / "schemas")
                (Path(staged) / "schemas").rename(folder)
    return folder


def _digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("schemas/go.mod", "schemas/go.sum", "crds/go.mod", "crds/go.sum"):
        digest.update((PINS / name).read_bytes())
    return digest.hexdigest()[:16]


def _write_schemas(folder: Path) -> None:
    folder.mkdir()
    for source in module_file("k8s.io/kubernetes", "api/openapi-spec/v3").glob("*__v[0-9]*_openapi.json"):
        definitions = json.loads(source.read_text())["components"].get("schemas", {})
        closed = {name: _closed(schema) for name, schema in definitions.items()}
        _write(folder / source.name, {"components": {"schemas": closed}})
        for name, schema in definitions.items():
            for kind in _kinds(schema):
                _write(folder / _file_name(**kind), {"$ref": f"{source.name}#/components/schemas/{name}"})
    for definition in custom_resources():
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = _OBJECT_META
            _write(folder / _file_name(spec["group"], version["name"], spec["names"]["kind"]), schema)


def _kinds(schema: _Schema) -> list[dict[str, str]]:
    """Returns the kinds that a definition is the schema of; options and watch events, which each group repeats, are none."""
    named = {"apiVersion", "kind", "metadata"} <= set(schema.get("properties", ()))
    return schema.get("x-kubernetes-group-version-kind", []) if named else []


def _file_name(group: str, version: str, kind: str) -> str:
    return f"{kind.lower()}-{group or version}-{version}.json"


def _write(path: Path, schema: _Schema) -> None:
    path.write_text(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}))


def _closed(schema: _Schema) -> _Schema:
    """Returns an OpenAPI schema as JSON schema that admits no field beyond the declared ones, and null where it is nullable."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(closed.get(key), dict):
            closed[key] = _closed(closed[key])
    if closed.pop("nullable", False):
        return {"anyOf": [closed, {"type": "null"}]}
    return closed


def custom_resources() -> Iterator[_Schema]:
    """Yields the custom resource definitions of both operators."""
    for name in _COLLECTOR_CRDS:
        crd = module_file("github.com/open-telemetry/opentelemetry-operator", f"config/crd/bases/{name}")
        yield yaml.safe_load(crd.read_text())
    generator = binary("controller-gen")
    with tempfile.TemporaryDirectory(prefix="crds-") as folder:
        command = [str(generator), "crd", f"paths={_MONITORING}/v1;{_MONITORING}/v1alpha1", f"output:crd:dir={folder}"]
        environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
        pins = BINARIES["controller-gen"].pins
        done = subprocess.run(command, cwd=pins, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BinaryMissingError(f"the Prometheus Operator's definitions could not be generated: {done.stderr.strip()}")
        for path in sorted(Path(folder).glob("*.yaml")):
            yield yaml.load(path.read_text(), _Loader)


class _Loader(yaml.SafeLoader):
    """Reads a lone ``=``, a value of an enumeration there, as text: YAML 1.1 gives it another meaning."""


def _text(_loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)
