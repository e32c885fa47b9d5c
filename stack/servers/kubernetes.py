"""The API server of Kubernetes on loopback, with its etcd: it checks and keeps objects, and nothing acts on them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from stack.servers.process import Server, free_port, until

__all__ = ["Answer", "Kubernetes"]

_LOOPBACK = "127.0.0.1"
_TOKEN = "the-token-of-the-tests"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server says to an object."""

    created: bool
    reason: str
    """Why the object is refused; empty if it is created."""
    warnings: tuple[str, ...]


class Kubernetes(Server):
    """kube-apiserver with every check of a cluster: schemas, validation, admission, Pod Security.

    Args:
        program: Path of kube-apiserver.
        etcd: Path of etcd.
        folder: Holds the data, the certificates and the logs.
    """

    def __init__(self, program: Path, etcd: Path, folder: Path) -> None:
        self._certificates = folder / "certificates"
        self._url = f"https://{_LOOPBACK}:{(port := free_port())}"
        storage = f"http://{_LOOPBACK}:{free_port()}"
        self._etcd = _etcd(etcd, folder, storage)
        tokens = folder / "tokens.csv"
        folder.mkdir(parents=True, exist_ok=True)
        tokens.write_text(f"{_TOKEN},tests,tests,system:masters\n")
        key = self._certificates / "apiserver.key"  # which the server makes for itself first
        super().__init__(
            "kube-apiserver",
            [
                program,
                f"--etcd-servers={storage}",
                f"--bind-address={_LOOPBACK}",
                f"--advertise-address={_LOOPBACK}",
                f"--secure-port={port}",
                f"--cert-dir={self._certificates}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--service-account-issuer={self._url}",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
            ],
            folder=folder,
            ready=self._answers,
            timeout=120,
        )

    def start(self) -> Self:
        self._etcd.start()
        try:
            return super().start()
        except BaseException:
            self._etcd.stop()
            raise

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._etcd.stop()

    def create(self, thing: Mapping[str, Any], namespace: str, *, dry_run: bool = False) -> Answer:
        """Creates an object; unknown and repeated fields are refused."""
        params = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        answer = self._request("POST", self._collection(thing, namespace), json=thing, params=params)
        warnings = tuple(warning.removeprefix("299 - ") for warning in answer.headers.get_list("warning"))
        created = answer.status_code == httpx.codes.CREATED
        return Answer(created, "" if created else answer.json()["message"], warnings)

    def add_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Creates a namespace."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}
        self._request("POST", "/api/v1/namespaces", json=namespace).raise_for_status()

    def add_kind(self, definition: Mapping[str, Any]) -> None:
        """Creates a custom resource definition and waits until its kind is served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self._request("POST", path, json=definition).raise_for_status()
        spec = definition["spec"]
        wanted = [(f"/apis/{spec['group']}/{version['name']}", spec["names"]["plural"]) for version in spec["versions"]]
        until(f"{spec['names']['kind']} to be served", lambda: all(self._serves(*one) for one in wanted))

    def _serves(self, group: str, plural: str) -> bool:
        return self._request("GET", f"{group}/namespaces/default/{plural}").status_code == httpx.codes.OK

    def _collection(self, thing: Mapping[str, Any], namespace: str) -> str:
        """Returns the path of the objects of its kind in a namespace."""
        version = thing["apiVersion"]
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resources = self._request("GET", group).raise_for_status().json()["resources"]
        (plural,) = (one["name"] for one in resources if one["kind"] == thing["kind"] and "/" not in one["name"])
        return f"{group}/namespaces/{namespace}/{plural}"

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        trusted = ssl.create_default_context(cafile=self._certificates / "apiserver.crt")
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        with httpx.Client(base_url=self._url, verify=trusted, headers=headers, timeout=30, trust_env=False) as client:
            return client.request(method, path, **options)

    def _answers(self) -> bool:
        try:
            return self._request("GET", "/readyz").status_code == httpx.codes.OK
        except (httpx.HTTPError, OSError):  # no certificate yet, or nothing listens
            return False


def _etcd(program: Path, folder: Path, url: str) -> Server:
    peers = f"http://{_LOOPBACK}:{free_port()}"
    command: list[str | Path] = [program, f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"]
    command += [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
    command += [f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}"]
    return Server("etcd", command, folder=folder, ready=f"{url}/readyz")
