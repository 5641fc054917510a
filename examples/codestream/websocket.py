#!/usr/bin/env python3
"""Sends a text over a WebSocket and prints what comes back.

usage: websocket.py HOST PORT TEXT [CA_FILE]

Connects to 127.0.0.1, with TLS where a file of CAs is given.
"""

import base64
import os
import socket
import ssl
import sys


def read(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            sys.exit("websocket.py: the connection has ended")
        data += more
    return data


def main():
    host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
    stream = socket.create_connection(("127.0.0.1", port), timeout=20)
    if len(sys.argv) > 4:
        context = ssl.create_default_context(cafile=sys.argv[4])
        stream = context.wrap_socket(stream, server_hostname=host)
    key = base64.b64encode(os.urandom(16)).decode()
    stream.sendall(
        f"GET /socketcluster/ HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(stream, 1)
    status = head.split(b"\r\n")[0].decode()
    if " 101 " not in status:
        sys.exit(f"websocket.py: {status}")
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    stream.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    length = read(stream, 2)[1]
    print(read(stream, length).decode())


main()
