"""The addresses of Collector gateways, as a name service tells them, changed by the test at any time.

The Collector's DNS resolver asks the machine's own name service, which a test cannot change. So the test lets it ask AWS Cloud
Map, whose answers come from here: behind the resolver, the exporter treats a changed list in the same way.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["GatewayAddresses", "gateway_addresses"]


class GatewayAddresses:
    """The ports on 127.0.0.1 at which gateways listen.

    Attributes:
        ports: What the next question is answered with.
        environment: Variables that make a Collector's resolver ask here.
    """

    def __init__(self, port: int) -> None:
        self.ports: list[int] = []
        self.environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": "http://gateways.test",
            "HTTP_PROXY": f"http://127.0.0.1:{port}",  # Go takes loopback addresses past the proxy
        }

    @staticmethod
    def resolver(exporter: str) -> str:
        """Returns the configuration that makes an exporter ask here once a second."""
        resolver = {"dns": None, "aws_cloud_map": {"namespace": "test", "service_name": "gateways", "interval": "1s"}}
        return f"yaml:exporters::{exporter}::resolver: {json.dumps(resolver)}"

    def answer(self) -> bytes:
        """Returns Cloud Map's answer."""
        places = [{"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(port)} for port in self.ports]
        return json.dumps({"Instances": [{"InstanceId": str(n), "Attributes": each} for n, each in enumerate(places)]}).encode()


@contextmanager
def gateway_addresses() -> Iterator[GatewayAddresses]:
    """Yields the addresses, served on an ephemeral loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = addresses.answer()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Suppresses the server's log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        addresses = GatewayAddresses(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield addresses
        server.shutdown()
        thread.join()
