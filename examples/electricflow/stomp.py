#!/usr/bin/env python3
"""Sends a text to a STOMP broker over TLS, and prints what comes back.

usage: stomp.py NAME PORT TEXT CERTIFICATE
"""

import socket
import ssl
import sys


def frame(stream):
    text = b""
    while not text.endswith(b"\0"):
        more = stream.recv(4096)
        if not more:
            sys.exit("the broker has closed the connection")
        text += more
    head, _, body = text[:-1].decode().lstrip("\n").partition("\n\n")
    return head.partition("\n")[0], body


def main():
    name, port, text, certificate = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    plain = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
    stream = context.wrap_socket(plain, server_hostname=name)
    stream.sendall(f"CONNECT\naccept-version:1.2\nhost:{name}\n\n\0".encode())
    command, _ = frame(stream)
    assert command == "CONNECTED", command
    stream.sendall(f"SEND\ndestination:/queue/echo\n\n{text}\0".encode())
    command, body = frame(stream)
    assert command == "MESSAGE", command
    print(body)
    stream.sendall(b"DISCONNECT\n\n\0")


main()
