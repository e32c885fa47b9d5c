"""A Cortex cluster on loopback ports: nodes that each hold all parts of Cortex, and keep every sample on three of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import yaml

from stack.servers.process import ServerError, free_port, until
from stack.servers.prometheus import Block, QueriedServer, size_on_disk

__all__ = ["Cortex", "CortexNode"]

_REPLICATION = 3
"""Ingesters that keep each series; a write has succeeded when two of them have taken it."""
_LOOPBACK = "127.0.0.1"
_UNLIMITED = 1e9


@dataclass(frozen=True, slots=True)
class _Ports:
    http: int
    grpc: int
    gossip: int


class CortexNode(QueriedServer):
    """One node: distributor, ingester, querier, query frontend and store gateway in one process, without tenants.

    Args:
        program: Path of Cortex.
        folder: The cluster's folder: all nodes share its blocks.
        name: The node's id in the rings.
        ports: The node's own ports.
        others: Ports of all nodes of the cluster.
    """

    def __init__(self, program: Path, folder: Path, name: str, ports: _Ports, others: Sequence[_Ports]) -> None:
        self.url = f"http://{_LOOPBACK}:{ports.http}"
        self.api = f"{self.url}/prometheus/api/v1"
        self.write_url = f"{self.url}/api/v1/push"
        self.id = name
        self.data = folder / name
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "cortex.yml"
        config.write_text(yaml.safe_dump(_configuration(folder, name, ports, others), sort_keys=False))
        super().__init__(name, [program, f"-config.file={config}"], folder=self.data, ready=f"{self.url}/ready")

    def ring(self) -> dict[str, str]:
        """Returns the state of each ingester by its id, as this node's distributor and querier see it."""
        answer = httpx.get(f"{self.url}/ring", headers={"Accept": "application/json"}, timeout=10)
        answer.raise_for_status()
        return {shard["id"]: shard["state"] for shard in answer.json()["shards"]}

    def flush(self) -> None:
        """Writes the ingester's samples to blocks, and returns once they are in the shared store."""
        httpx.post(f"{self.url}/ingester/flush", params={"wait": "true"}, timeout=120).raise_for_status()

    def wal_bytes(self) -> int:
        """Returns the size of the ingester's write-ahead log on disk."""
        return sum(map(size_on_disk, self.data.glob("tsdb/*/wal")))


class Cortex:
    """A cluster of nodes, each with a replica of every series.

    Any node takes writes and answers queries. In production a load balancer stands in front of them.

    Args:
        program: Path of Cortex.
        folder: Holds the nodes' files and the shared blocks.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        ports = [_Ports(free_port(), free_port(), free_port()) for _ in range(_REPLICATION)]
        self._blocks = folder / "blocks"
        self._blocks.mkdir(parents=True, exist_ok=True)
        self.nodes = [CortexNode(program, folder, f"node-{n}", own, ports) for n, own in enumerate(ports, 1)]

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(len(self.nodes)) as starting:
                list(starting.map(CortexNode.start, self.nodes))
            self.await_ring()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            node.kill()  # a graceful end would hand over and ship what the folder's end discards

    def await_ring(self) -> None:
        """Waits until every node sees every ingester ACTIVE: from then on a write reaches three of them.

        Raises:
            ServerError: If that is not so in time.
        """
        wanted = {node.id: "ACTIVE" for node in self.nodes}
        until("all nodes to see three active ingesters", lambda: all(node.ring() == wanted for node in self.nodes), timeout=60)

    def flush(self) -> list[Block]:
        """Writes all samples of all ingesters to the shared store, and returns its blocks.

        Raises:
            ServerError: If an ingester has shipped no block.
        """
        for node in self.nodes:
            node.flush()
        found = [Block.read(meta.parent) for meta in sorted(self._blocks.glob("*/*/meta.json"))]
        if len(found) < len(self.nodes):
            raise ServerError(f"{len(self.nodes)} ingesters shipped {len(found)} blocks")
        return found


def _configuration(folder: Path, name: str, ports: _Ports, nodes: Sequence[_Ports]) -> dict[str, object]:
    own, member = folder / name, {"kvstore": {"store": "memberlist"}, "instance_addr": _LOOPBACK, "instance_id": name}
    return {
        # Without ruler, Alertmanager and compactor, which neither store samples nor answer queries.
        "target": "distributor,ingester,querier,query-frontend,store-gateway",
        "auth_enabled": False,
        "server": {
            "http_listen_address": _LOOPBACK,
            "http_listen_port": ports.http,
            "grpc_listen_address": _LOOPBACK,
            "grpc_listen_port": ports.grpc,
            "log_level": "warn",
        },
        "memberlist": _gossip(ports, nodes),
        "distributor": {"shard_by_all_labels": True, "pool": {"health_check_ingesters": True}, "ring": member},
        "ingester": {"lifecycler": _lifecycler(name, ports)},
        # The default of 25,000 samples a second is exceeded when an agent sends what an outage has kept back.
        "limits": {"ingestion_rate": _UNLIMITED, "ingestion_burst_size": int(_UNLIMITED)},
        "querier": {"store_gateway_addresses": f"{_LOOPBACK}:{ports.grpc}", "active_query_tracker_dir": str(own / "queries")},
        "frontend_worker": {"frontend_address": f"{_LOOPBACK}:{ports.grpc}", "match_max_concurrent": True},
        "store_gateway": {"sharding_ring": member},
        "blocks_storage": {
            "backend": "filesystem",
            "filesystem": {"dir": str(folder / "blocks")},
            "tsdb": {"dir": str(own / "tsdb"), "wal_compression_type": "snappy"},  # as Prometheus does by default
            "bucket_store": {"sync_dir": str(own / "sync")},
        },
    }


def _gossip(ports: _Ports, nodes: Sequence[_Ports]) -> dict[str, object]:
    return {
        "bind_addr": [_LOOPBACK],
        "bind_port": ports.gossip,
        "advertise_addr": _LOOPBACK,
        "advertise_port": ports.gossip,
        "join_members": [f"{_LOOPBACK}:{each.gossip}" for each in nodes if each is not ports],
        "abort_if_cluster_join_fails": False,
        "rejoin_interval": "1s",  # the nodes start at once, and the first of them finds no other
    }


def _lifecycler(name: str, ports: _Ports) -> dict[str, object]:
    return {
        "id": name,
        "address": _LOOPBACK,
        "port": ports.grpc,
        "num_tokens": 128,
        "min_ready_duration": "0s",
        "final_sleep": "0s",
        "ring": {"kvstore": {"store": "memberlist"}, "replication_factor": _REPLICATION},
    }
