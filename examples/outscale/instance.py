#!/usr/bin/env python3
"""Stands in for an instance: a web server over HTTP and over HTTPS, and a mail server that says hello.

usage: instance.py NAME ADDRESS HTTP_PORT HTTPS_PORT MAIL_PORT CERTIFICATE KEY
"""

import http.server
import socketserver
import ssl
import sys
import threading

NAME = sys.argv[1]


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        lines = [
            f"web on {NAME}",
            f"X-Forwarded-Proto: {self.headers.get('X-Forwarded-Proto', '-')}",
            f"SNI: {getattr(self.connection, 'asked', '-')}",
            f"ALPN: {self.connection.selected_alpn_protocol() if self.server.tls else '-'}",
            "",
        ]
        body = "\n".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Mail(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"* OK mail on {NAME}\r\n".encode())
        while self.request.recv(1024):
            pass


def remember(connection, name, _):
    connection.asked = name


def serve(server, tls=None):
    server.daemon_threads = True
    server.tls = tls
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    address = sys.argv[2]
    ports = [int(port) for port in sys.argv[3:6]]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[6], sys.argv[7])
    tls.set_alpn_protocols(["http/1.1"])
    tls.sni_callback = remember
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    serve(http.server.ThreadingHTTPServer((address, ports[0]), Web))
    serve(http.server.ThreadingHTTPServer((address, ports[1]), Web), tls)
    serve(socketserver.ThreadingTCPServer((address, ports[2]), Mail))
    threading.Event().wait()


main()
