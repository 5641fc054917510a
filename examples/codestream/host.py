#!/usr/bin/env python3
"""Stands in for a CodeStream host: the API server and the broadcaster, over HTTP or, with a certificate, over HTTPS.

usage: host.py ADDRESS API_PORT BROADCASTER_PORT [CERTIFICATE KEY]

Both answer OK at /no-auth/status and tell elsewhere what they were asked; a WebSocket gets back what it sends.
"""

import base64
import hashlib
import http.server
import ssl
import sys
import threading

WEBSOCKET_ID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TOLD = ["Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Amzn-Trace-Id"]


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.echo()
        text = "OK"
        if self.path != "/no-auth/status":
            lines = [f"{name}: {self.headers.get(name, '-')}" for name in TOLD]
            text = "\n".join([f"{self.server.role} got {self.path}", *lines, ""])
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo(self):
        key = self.headers.get("Sec-WebSocket-Key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_ID).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            length = head[1] & 0x7F
            if length == 126:
                length = int.from_bytes(self.rfile.read(2), "big")
            elif length == 127:
                length = int.from_bytes(self.rfile.read(8), "big")
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length)))
            size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
            self.wfile.write(head[:1] + size + data)
            if head[0] & 0x0F == 8:
                return

    def log_message(self, *_):
        pass


def serve(role, address, port, context):
    server = http.server.ThreadingHTTPServer((address, port), Service)
    server.role = role
    server.daemon_threads = True
    if context:
        # The handshake is left to the thread of the connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    address, api, broadcaster = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    context = None
    if len(sys.argv) > 4:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
    serve("api", address, api, context)
    serve("broadcaster", address, broadcaster, context)
    threading.Event().wait()


main()
