"""As much of a Confluent registry as a consumer asks for: the schema of one id."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def registry(number: int, schema: dict[str, Any]) -> Iterator[str]:
    """Yield the URL of a registry that knows `schema` by its id, and no other."""
    answer = json.dumps({"schema": json.dumps(schema)}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path.partition("?")[0] == f"/schemas/ids/{number}"
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.end_headers()
            self.wfile.write(answer if is_known else b'{"error_code": 40403, "message": "unknown"}')

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
