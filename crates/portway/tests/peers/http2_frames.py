"""A client of HTTP/2 that sends whatever frames it likes: `http2_frames.py PORT CASE…` says, a line for each case, what came back."""

import os
import re
import socket
import ssl
import sys
import time

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


# Without TLS, from the preface on.
CLEAR = "CLEAR" in os.environ


class Peer:
    def __init__(self, port, settings=None, preface=True):
        terms = ssl.create_default_context()
        terms.check_hostname, terms.verify_mode = False, ssl.CERT_NONE
        terms.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if CLEAR else terms.wrap_socket(plain, server_hostname="a.example")
        assert CLEAR or self.socket.selected_alpn_protocol() == "h2"
        self.socket.settimeout(20)
        self.encoder, self.decoder, self.rest = Encoder(), Decoder(), b""
        if preface:
            self.socket.sendall(PREFACE)
            self.send(SettingsFrame(0, settings=settings or {}))

    def send(self, *frames):
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def request(self, stream, path, *more, method="GET", end=True, flags=("END_HEADERS",)):
        pseudo = [(":method", method), (":scheme", "http" if CLEAR else "https"), (":authority", "a.example")]
        fields = pseudo + [(":path", path)] + list(more)
        return HeadersFrame(stream, self.encoder.encode(fields), flags=[*flags, *(["END_STREAM"] if end else [])])

    def frames(self):
        """What comes, until the connection ends."""
        while True:
            while len(self.rest) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self.rest[:9]))
                if len(self.rest) < 9 + length:
                    break
                frame.parse_body(memoryview(self.rest[9:9 + length]))
                self.rest = self.rest[9 + length:]
                if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                    self.send(SettingsFrame(0, flags=["ACK"]))
                yield frame
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                return
            self.rest += more

    def answer(self, stream, windows=True):
        """Status, body and how it ended, of a stream."""
        status, body, fields = None, b"", []
        for frame in self.frames():
            if isinstance(frame, GoAwayFrame):
                return f"goaway {frame.error_code}"
            if frame.stream_id != stream:
                continue
            if isinstance(frame, RstStreamFrame):
                return f"{status} {len(body)} reset {frame.error_code}"
            if isinstance(frame, HeadersFrame):
                fields += self.decoder.decode(frame.data)
                status = status or dict(fields)[":status"]
            if isinstance(frame, DataFrame):
                body += frame.data
                if windows and frame.data:
                    size = frame.flow_controlled_length
                    self.send(WindowUpdateFrame(0, size), WindowUpdateFrame(stream, size))
            if "END_STREAM" in frame.flags:
                return f"{status} {len(body)} end"
        return "closed"

    def fate(self, quiet=3):
        """How the connection ends: the code of GOAWAY."""
        self.socket.settimeout(quiet)
        try:
            for frame in self.frames():
                if isinstance(frame, GoAwayFrame) and frame.error_code:
                    return f"goaway {frame.error_code}"
        except TimeoutError:
            return "goes on"
        return "closed"

    def flood(self, count, frames):
        """Sends the same again and again, until the other side has had enough of it."""
        try:
            for number in range(count):
                self.send(*frames(number))
        except (ConnectionError, ssl.SSLError):
            pass
        return self.fate()


def told(port):
    """What the other side says of itself."""
    peer, said = Peer(port), {}
    for frame in peer.frames():
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            said = frame.settings
            peer.send(PingFrame(0, b"12345678"))
        if isinstance(frame, WindowUpdateFrame):
            said["more"] = frame.window_increment
        if isinstance(frame, PingFrame):
            return f"streams {said[3]}, window {said[4]}, more {said.get('more', 0)}"
    return "closed"


def in_pieces(port):
    """A preface that comes byte by byte, each in a packet of its own."""
    peer = Peer(port, preface=False)
    for byte in PREFACE:
        peer.socket.sendall(bytes([byte]))
        time.sleep(0.005)
    peer.send(SettingsFrame(0, settings={}), peer.request(1, "/bytes/5"))
    return peer.answer(1)


def silent_head(port):
    """Half of a head, and nothing behind it."""
    peer = Peer(port)
    peer.send(peer.request(1, "/bytes/5", flags=()))
    # Nothing is answered: it would stand in the middle of the head.
    while peer.socket.recv(65536):
        pass
    return "closed"


def later_preface(port):
    """A preface behind a request of HTTP/1.1."""
    peer = Peer(port, preface=False)
    peer.socket.sendall(b"GET /bytes/5 HTTP/1.1\r\nHost: a.example\r\n\r\n")
    came = peer.socket.recv(65536)
    peer.socket.sendall(PREFACE)
    while more := peer.socket.recv(65536):
        came += more
    return ", ".join(line.decode() for line in re.findall(rb"HTTP/1.1 \d+", came))


def resets(port):
    peer = Peer(port)
    return peer.flood(1000, lambda it: (peer.request(2 * it + 1, "/slow/3000"), RstStreamFrame(2 * it + 1, 8)))


def pings(port):
    return Peer(port).flood(5000, lambda _: (PingFrame(0, b"12345678"),))


def settings(port):
    return Peer(port).flood(5000, lambda _: (SettingsFrame(0, settings={3: 100}),))


def empty_data(port):
    peer = Peer(port)
    peer.send(peer.request(1, "/", method="POST", end=False))
    return peer.flood(5000, lambda _: (DataFrame(1, b""),))


def continuations(port):
    peer = Peer(port)
    peer.send(peer.request(1, "/", flags=()))
    return peer.flood(5000, lambda _: (ContinuationFrame(1, b""),))


def block_bytes(port):
    peer = Peer(port)
    first = peer.request(1, "/", flags=())
    more = peer.encoder.encode([("x", os.urandom(12000).hex())], huffman=False)
    peer.send(first)
    return peer.flood(20, lambda _: (ContinuationFrame(1, more[:16000]),))


def bomb(port, size=3900):
    """A few bytes that stand for very many: a field of the table, over and over."""
    peer = Peer(port)
    frame = peer.request(1, "/")
    frame.data = Encoder().encode([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")])
    added = Encoder().encode([("x", "y" * size)], huffman=False)
    # The first entry behind those that everybody knows.
    frame.data += added + b"\xbe" * 10000
    peer.send(frame)
    return peer.answer(1)


def small_bomb(port):
    """As many bytes as a client is told of, and not so many that nobody reads them."""
    return bomb(port, size=10)


def too_many(port):
    peer = Peer(port)
    peer.send(*(peer.request(2 * it + 1, "/slow/2000") for it in range(101)))
    ends = []
    for frame in peer.frames():
        if isinstance(frame, RstStreamFrame):
            ends.append(f"{frame.stream_id} reset {frame.error_code}")
        elif isinstance(frame, HeadersFrame):
            ends.append(str(frame.stream_id))
        if len(ends) == 101:
            break
    return f"{ends[0]}, {len(set(ends))} ends"


def slow_reader(port):
    """A stream whose client takes nothing, beside one whose does."""
    peer = Peer(port)
    peer.send(peer.request(1, "/bytes/1000000"), WindowUpdateFrame(0, 10_000_000), peer.request(3, "/bytes/200000"))
    sizes, ended = {1: 0, 3: 0}, False
    for frame in peer.frames():
        if isinstance(frame, DataFrame):
            sizes[frame.stream_id] += len(frame.data)
            if frame.stream_id == 3:
                peer.send(WindowUpdateFrame(3, max(1, len(frame.data))))
            if frame.stream_id == 3 and "END_STREAM" in frame.flags:
                break
    before = sizes[1]
    peer.send(WindowUpdateFrame(1, 2_000_000))
    for frame in peer.frames():
        if isinstance(frame, DataFrame):
            sizes[1] += len(frame.data)
            if "END_STREAM" in frame.flags:
                break
    return f"{before} of the first, then {sizes[1]} and {sizes[3]}"


def stalled(port):
    """A client that gives all the room there is, and reads nothing."""
    peer = Peer(port, settings={4: 2**31 - 1})
    peer.send(WindowUpdateFrame(0, 2**31 - 1 - 65535))
    peer.socket.settimeout(2)
    try:
        for number in range(1000):
            peer.send(peer.request(2 * number + 1, "/bytes/20000"))
            time.sleep(0.001)
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    return "asked"


def late_windows(port):
    """Room for what has ended already, as many clients give it."""
    peer, whole = Peer(port), 0
    for number in range(1500):
        stream = 2 * number + 1
        peer.send(peer.request(stream, "/bytes/5000"))
        whole += peer.answer(stream, windows=False) == "200 5000 end"
        peer.send(WindowUpdateFrame(0, 5000), *(WindowUpdateFrame(stream, 1000) for _ in range(5)))
    return f"{whole} whole"


def made_resets(port):
    """Has the other side end streams, in place of ending them itself."""
    peer = Peer(port)

    def wrong(number):
        stream = 2 * number + 1
        end = DataFrame(stream, b"x", flags=["END_STREAM"])
        return peer.request(stream, "/slow/3000"), end

    return peer.flood(1000, wrong)


def fair(port):
    """Streams that share a small window: what the least of them has when the first is whole."""
    peer = Peer(port, settings={4: 2**31 - 1})
    sizes = dict.fromkeys((1, 3, 5, 7), 0)
    peer.send(*(peer.request(stream, "/bytes/400000") for stream in sizes))
    for frame in peer.frames():
        if isinstance(frame, DataFrame):
            sizes[frame.stream_id] += len(frame.data)
            if "END_STREAM" in frame.flags:
                break
            if frame.data:
                peer.send(WindowUpdateFrame(0, len(frame.data)))
    return "all" if min(sizes.values()) > 200_000 else str(sizes)


def malformed(port):
    """A request without a path."""
    peer = Peer(port)
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example")]
    peer.send(HeadersFrame(1, peer.encoder.encode(fields), flags=["END_HEADERS", "END_STREAM"]))
    return peer.answer(1)


def idle_pings(port):
    """Asks for nothing, and says that it is there, in pieces."""
    peer = Peer(port)
    ping = PingFrame(0, b"12345678").serialize()
    try:
        for _ in range(200):
            for piece in (ping[:5], ping[5:]):
                peer.socket.sendall(piece)
                time.sleep(0.05)
    except (ConnectionError, ssl.SSLError):
        return "ended"
    return "goes on"


def wrong_length(port):
    said = []
    for sent in (b"abc", b"abcdef"):
        peer = Peer(port)
        peer.send(peer.request(1, "/", ("content-length", "5"), method="POST", end=False))
        peer.send(DataFrame(1, sent, flags=["END_STREAM"]))
        said.append(peer.answer(1))
    return ", ".join(said)


def gives_up(port):
    peer = Peer(port)
    peer.send(peer.request(1, "/slow/5000"))
    time.sleep(0.5)
    peer.send(RstStreamFrame(1, 8), peer.request(3, "/"))
    return peer.answer(3).split()[0]


def websocket(port):
    """RFC 8441: a tunnel on a stream; bytes both ways, then the end of each side."""
    peer = Peer(port)
    able = next(frame.settings.get(8) for frame in peer.frames() if isinstance(frame, SettingsFrame))
    protocol = (":protocol", "websocket")
    fields = [(":method", "CONNECT"), protocol, (":scheme", "https"), (":path", "/ws"), (":authority", "a.example")]
    peer.send(HeadersFrame(1, peer.encoder.encode(fields + [("sec-websocket-version", "13")]), flags=["END_HEADERS"]))
    heard, status = b"", None
    for frame in peer.frames():
        if isinstance(frame, HeadersFrame):
            status = dict(peer.decoder.decode(frame.data))[":status"]
            peer.send(DataFrame(1, b"hello"))
        if isinstance(frame, DataFrame):
            heard += frame.data
            if heard == b"hello":
                peer.send(DataFrame(1, b"", flags=["END_STREAM"]))
            if "END_STREAM" in frame.flags:
                return f"offered {able}, {status}, {heard.decode()}, end"
        if isinstance(frame, RstStreamFrame):
            return f"{status} reset {frame.error_code}"
    return "closed"


def drained(port):
    """Says that it waits, and what comes of a stream that the end of the process finds under way."""
    peer = Peer(port)
    peer.send(peer.request(1, "/slow/1500"))
    print("begun", flush=True)
    said = []
    for frame in peer.frames():
        if isinstance(frame, GoAwayFrame) and "told" not in said:
            said.append("told")
        if frame.stream_id == 1 and "END_STREAM" in frame.flags:
            said.append("whole")
    return ", ".join(said + ["closed"])


if __name__ == "__main__":
    for case in sys.argv[2:]:
        print(f"{case}: {globals()[case](int(sys.argv[1]))}", flush=True)
