#!/usr/bin/env python3
"""Opens a WebSocket, sends a heartbeat as often as asked for, and prints what comes back.

usage: websocket.py HOST PORT BEATS SECONDS

Connects to 127.0.0.1. Prints the first message, then a line for each beat that came back.
"""

import base64
import os
import socket
import sys
import time


def read(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            sys.exit("websocket.py: the connection has ended")
        data += more
    return data


def message(stream):
    length = read(stream, 2)[1]
    if length == 126:
        length = int.from_bytes(read(stream, 2), "big")
    return read(stream, length).decode()


def main():
    host, port, beats, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    stream = socket.create_connection(("127.0.0.1", port), timeout=20)
    key = base64.b64encode(os.urandom(16)).decode()
    stream.sendall(
        f"GET /stomp HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(stream, 1)
    status = head.split(b"\r\n")[0].decode()
    if " 101 " not in status:
        sys.exit(f"websocket.py: {status}")
    print(message(stream), end="", flush=True)
    for beat in range(beats):
        text = f"beat {beat}".encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        stream.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
        print(message(stream), flush=True)
        time.sleep(seconds)


main()
