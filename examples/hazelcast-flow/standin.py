#!/usr/bin/env python3
"""Stands in for a Flow server, or for Management Center.

usage: standin.py PORT NAME [ALLOWED_ORIGIN]

Answers every path with its name and what it was told; a WebSocket gets the same as its first message, and every message
back. With ALLOWED_ORIGIN it allows pages of that origin to read what it says, as Management Center does.
"""

import base64
import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, NAME = int(sys.argv[1]), sys.argv[2]
ORIGIN = sys.argv[3] if len(sys.argv) > 3 else None
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TOLD = ["Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Origin"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def told(self):
        lines = [f"{name}: {self.headers.get(name)}" for name in TOLD]
        return "\n".join([f"server: {NAME}", *lines, ""]).encode()

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.web_socket()
        self.answer(200, self.told())

    def do_OPTIONS(self):
        self.answer(204 if ORIGIN else 405, b"")

    def answer(self, status, body):
        self.send_response(status)
        if ORIGIN and self.headers.get("Origin") == ORIGIN:
            self.send_header("Access-Control-Allow-Origin", ORIGIN)
            self.send_header("Access-Control-Allow-Methods", "GET, OPTIONS")
        if status != 204:
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def web_socket(self):
        key = self.headers["Sec-WebSocket-Key"] + GUID
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        self.send(0x81, self.told())
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            length = head[1] & 0x7F
            if length == 126:
                length = int.from_bytes(self.rfile.read(2), "big")
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length)))
            kind = head[0] & 0x0F
            if kind == 8:
                return self.send(0x88, data)
            self.send(0x8A if kind == 9 else 0x80 | kind, data)

    def send(self, kind, data):
        length = bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big")
        self.wfile.write(bytes([kind]) + length + data)
        self.wfile.flush()

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


Server(("127.0.0.1", PORT), Handler).serve_forever()
