//! WebSocket through Portway, between a client and a server of Python's `websockets`.

use crate::certificates::{Issuer, Key, certificate, join};
use crate::support::{Portway, Process, Scene, free_port, python_with_peers};

/// Echoes; `close CODE` as a message closes with that code; the path `/origin` answers what the handshake said.
const SERVER: &str = r#"
import asyncio, sys, websockets
from websockets.asyncio.server import serve

async def echo(socket):
    request = socket.request
    if request.path == "/origin":
        names = ["Host", "X-Forwarded-For", "X-Forwarded-Proto", "Origin"]
        await socket.send("\n".join(f"{name}: {request.headers.get(name)}" for name in names))
    try:
        async for message in socket:
            if isinstance(message, str) and message.startswith("close "):
                await socket.close(int(message[6:]), "as you wish")
            else:
                await socket.send(message)
    except websockets.ConnectionClosedError as error:
        print("closed with an error:", error, flush=True)

async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

/// What every client script begins with.
const CLIENT: &str = r#"
import asyncio, os, ssl, sys, websockets
from websockets.asyncio.client import connect

def open_socket(path="/echo", **more):
    url = sys.argv[1] + path
    if url.startswith("wss:"):
        more["ssl"] = ssl.create_default_context(cafile=sys.argv[2])
        more["server_hostname"] = "ws.example"
    return connect(url, max_size=None, proxy=None, open_timeout=60, close_timeout=60, **more)
"#;

struct Chat {
    scene: Scene,
    server: Process,
    portway: Portway,
    urls: [String; 2],
}

impl Chat {
    /// `timeouts`: a line of both listeners.
    fn new(timeouts: &str) -> Self {
        let scene = Scene::new();
        let [plain, tls, target] = [(); 3].map(|()| free_port());
        certificate(
            &scene,
            "front",
            Key::Ecdsa,
            "ws.example",
            &["ws.example"],
            Issuer::Own,
        );
        join(&scene, "front-all.pem", &["front.pem", "front.key"]);
        scene.file("server.py", SERVER);
        let python = python_with_peers();
        let server = scene.serve(target, &python, &["-u", "server.py", &target.to_string()]);
        let portway = scene.portway(&format!(
            "[listener.plain]\nbind = '127.0.0.1:{plain}'\nforward = 'chat'\n{timeouts}\n\
             [listener.tls]\nbind = '127.0.0.1:{tls}'\nprotocol = 'https'\nforward = 'chat'\n\
             certificate_files = ['front-all.pem']\n{timeouts}\n\
             [target_group.chat]\ntargets = ['127.0.0.1:{target}']\n"
        ));
        let urls = [
            format!("ws://127.0.0.1:{plain}"),
            format!("wss://127.0.0.1:{tls}"),
        ];
        Self {
            scene,
            server,
            portway,
            urls,
        }
    }

    /// Runs a client over plain and over TLS; each must print `expected`.
    #[track_caller]
    fn check(&self, script: &str, expected: &str) {
        self.scene.file(
            "client.py",
            format!("{CLIENT}\n{script}\nasyncio.run(main())\n"),
        );
        for url in &self.urls {
            let arguments = ["-u", "client.py", url, "front.pem"];
            let said = self.scene.run(&python_with_peers(), &arguments).good();
            assert_eq!(said.trim_end(), expected, "{url}");
        }
    }

    fn end(self) {
        self.portway.stop();
        let log = self.server.log();
        assert!(!log.contains("Traceback"), "{log}");
    }
}

#[test]
fn messages_of_all_sizes() {
    let chat = Chat::new("");
    chat.check(
        r#"
async def main():
    async with open_socket() as socket:
        for number in range(200):
            await socket.send(f"message {number}")
            assert await socket.recv() == f"message {number}"
        for number in range(200):
            await socket.send(b"%d" % number)
        for number in range(200):
            assert await socket.recv() == b"%d" % number
        for size in [0, 1, 125, 126, 65535, 65536, 1 << 20, 5 << 20]:
            big = os.urandom(size)
            await socket.send(big)
            assert await socket.recv() == big, size
        print("well")
"#,
        "well",
    );
    chat.end();
}

#[test]
fn pings_and_closes() {
    let chat = Chat::new("");
    chat.check(
        r#"
async def main():
    async with open_socket(ping_interval=None) as socket:
        for _ in range(20):
            latency = await (await socket.ping())
            assert latency >= 0
    print(socket.close_code)
    for code in [1000, 1001, 3000, 4999]:
        async with open_socket() as socket:
            await socket.send(f"close {code}")
            try:
                await socket.recv()
            except websockets.ConnectionClosed as closed:
                print(closed.rcvd.code, closed.rcvd.reason)
    socket = await open_socket()
    await socket.close(4001, "enough")
    print(socket.close_code)
"#,
        "1000\n1000 as you wish\n1001 as you wish\n3000 as you wish\n4999 as you wish\n4001",
    );
    chat.end();
}

#[test]
fn what_the_server_is_told() {
    let chat = Chat::new("");
    chat.check(
        r#"
async def main():
    async with open_socket("/origin", origin="https://ws.example") as socket:
        said = await socket.recv()
        proto = "https" if sys.argv[1].startswith("wss") else "http"
        assert f"X-Forwarded-Proto: {proto}\n" in said, said
        assert "X-Forwarded-For: 127.0.0.1\n" in said, said
        assert "Origin: https://ws.example" in said, said
        print("well")
"#,
        "well",
    );
    chat.end();
}

#[test]
fn fifty_at_once() {
    let chat = Chat::new("");
    chat.check(
        r#"
async def talk(number):
    async with open_socket() as socket:
        for turn in range(20):
            message = f"{number}/{turn} " + "x" * (turn * 700)
            await socket.send(message)
            assert await socket.recv() == message
            await asyncio.sleep(0.01)
        return 1

async def main():
    print(sum(await asyncio.gather(*(talk(number) for number in range(50)))))
"#,
        "50",
    );
    chat.end();
}

#[test]
fn idle_is_counted_in_both_directions() {
    let chat = Chat::new("timeouts = { tunnel = '2s', client = '1s', keep_alive = '1s' }");
    chat.check(
        r#"
async def main():
    async with open_socket(ping_interval=None) as socket:
        # Longer than every other timeout; each pause is shorter than the tunnel's.
        for turn in range(6):
            await asyncio.sleep(0.7)
            await socket.send("still here")
            assert await socket.recv() == "still here"
        # Now silence: Portway ends it.
        try:
            await asyncio.wait_for(socket.recv(), 30)
        except websockets.ConnectionClosed:
            print("ended")
"#,
        "ended",
    );
    chat.end();
}
