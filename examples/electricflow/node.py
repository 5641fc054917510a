#!/usr/bin/env python3
"""Stands in for nodes of an ElectricFlow cluster: on each, a web server, an application server and a STOMP broker.

usage: node.py WEB_PORT SERVER_PORT STOMP_PORT ADDRESS...

The servers tell who they are and what they were asked. The broker sends every message back to its sender. GET /stop ends
the server that is asked; it answers once more.
"""

import http.server
import socketserver
import sys
import threading


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        address, port = self.server.server_address
        body = f"{self.server.role} on {address} got {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/stop":
            self.close_connection = True
            threading.Thread(target=self.end).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()

    def log_message(self, *_):
        pass


class Broker(socketserver.StreamRequestHandler):
    def handle(self):
        while frame := self.frame():
            command, body = frame
            if command == "CONNECT":
                self.send("CONNECTED", f"version:1.2\nserver:{self.server.server_address[0]}", "")
            elif command == "SEND":
                self.send("MESSAGE", "destination:/queue/echo\nmessage-id:1\nsubscription:1", body)
            elif command == "DISCONNECT":
                return

    def frame(self):
        """The command and the body of a frame; None at the end."""
        text = bytearray()
        while (byte := self.rfile.read(1)) != b"\0":
            if not byte:
                return None
            text += byte
        head, _, body = text.decode().lstrip("\n").partition("\n\n")
        return head.partition("\n")[0], body

    def send(self, command, headers, body):
        self.wfile.write(f"{command}\n{headers}\n\n{body}\0".encode())


class Ports(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class HttpPorts(http.server.ThreadingHTTPServer):
    daemon_threads = True


def main():
    web, server, stomp = (int(port) for port in sys.argv[1:4])
    for address in sys.argv[4:]:
        for role, port in [("web server", web), ("application server", server)]:
            served = HttpPorts((address, port), Server)
            served.role = role
            threading.Thread(target=served.serve_forever).start()
        broker = Ports((address, stomp), Broker)
        threading.Thread(target=broker.serve_forever).start()


main()
