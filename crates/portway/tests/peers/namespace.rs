//! Hosts of one machine: network namespaces with files of their own in `/etc`, connected by a cable.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Output, Process, Scene};

/// A network namespace; it ends with this.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// One with a loopback and these addresses on it. Names are unique on the machine.
    pub(crate) fn new(scene: &Scene, role: &str, addresses: &[&str]) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pw{}-{number}-{role}", std::process::id());
        scene.run("ip", &["netns", "add", &name]).good();
        let namespace = Self { name };
        namespace.ip(scene, &["link", "set", "lo", "up"]);
        for address in addresses {
            namespace.ip(
                scene,
                &["addr", "add", &format!("{address}/32"), "dev", "lo"],
            );
        }
        namespace
    }

    /// A cable to another: an address of a /24 on each end.
    pub(crate) fn connect(&self, scene: &Scene, address: &str, other: &Namespace, theirs: &str) {
        let (name, peer) = (&self.name, &other.name);
        scene
            .run(
                "ip",
                &[
                    "link", "add", "veth0", "netns", name, "type", "veth", "peer", "name", "veth0",
                    "netns", peer,
                ],
            )
            .good();
        for (side, address) in [(self, address), (other, theirs)] {
            side.ip(
                scene,
                &["addr", "add", &format!("{address}/24"), "dev", "veth0"],
            );
            side.ip(scene, &["link", "set", "veth0", "up"]);
        }
    }

    /// Its name, by which `ip` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The way to these addresses.
    pub(crate) fn route(&self, scene: &Scene, to: &str, via: &str) {
        self.ip(scene, &["route", "add", to, "via", via]);
    }

    fn ip(&self, scene: &Scene, arguments: &[&str]) {
        scene
            .run("ip", &[&["-n", &self.name], arguments].concat())
            .good();
    }

    /// A file of its own in `/etc`; a folder's files are seen in place of the machine's.
    pub(crate) fn etc(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = PathBuf::from(format!("/etc/netns/{}/{name}", self.name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A command that runs in it.
    pub(crate) fn command(&self, scene: &Scene, program: &str, arguments: &[&str]) -> Command {
        let mut command = scene.command("ip", &["netns", "exec", &self.name, program]);
        command.args(arguments);
        command
    }

    /// Runs a program in it to its end.
    pub(crate) fn run(&self, scene: &Scene, program: &str, arguments: &[&str]) -> Output {
        Output::of(self.command(scene, program, arguments).output().unwrap())
    }

    /// Starts a program in it that goes on.
    pub(crate) fn spawn(&self, scene: &Scene, program: &str, arguments: &[&str]) -> Process {
        scene.spawn_command(self.command(scene, program, arguments))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let pids = Command::new("ip")
            .args(["netns", "pids", &self.name])
            .output();
        let pids = pids.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        for pid in pids.unwrap_or_default().split_whitespace() {
            Command::new("kill").args(["-KILL", pid]).status().ok();
        }
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .status()
            .ok();
        fs::remove_dir_all(format!("/etc/netns/{}", self.name)).ok();
    }
}
