"""An S3 store in memory, as far as listing and reading go."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LIST = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<IsTruncated>false</IsTruncated><KeyCount>{count}</KeyCount>{contents}</ListBucketResult>"
)
ENTRY = "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{time}</LastModified></Contents>"


@contextmanager
def serve(objects: Mapping[str, bytes], key_id: str) -> Iterator[str]:
    """Answer for one bucket, to requests signed with `key_id`, until the context ends; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms until its head is acknowledged

        def _do(self) -> None:
            address = urlsplit(self.path)
            key = unquote(address.path.lstrip("/").partition("/")[2])
            query = parse_qs(address.query)
            if f"Credential={key_id}/" not in self.headers.get("Authorization", ""):
                self._answer(403, b"")
            elif "list-type" in query:
                self._answer(200, self._list(query.get("prefix", [""])[0]))
            elif key in objects:
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                first, last = map(int, wanted.groups()) if wanted else (0, len(objects[key]) - 1)
                self._answer(206 if wanted else 200, objects[key][first : last + 1])
            else:
                self._answer(404, b"")

        do_GET = do_HEAD = _do

        @staticmethod
        def _list(prefix: str) -> bytes:
            keys = sorted(key for key in objects if key.startswith(prefix))
            entries = [
                ENTRY.format(key=key, size=len(objects[key]), time="2026-01-01T00:00:00.000Z") for key in keys
            ]
            return LIST.format(count=len(keys), contents="".join(entries)).encode()

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
