//! What the dialects may ask of the world: the environment, files and names of this machine.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use portway_dialects::{Inputs, haproxy};

use crate::files::{self, read_limited};

/// Bytes of a file that a configuration refers to (maps, lists of patterns). A million lines of a map have about
/// 30 MB.
pub const MAX_REFERRED_BYTES: u64 = 64 * 1024 * 1024;

/// Calls `read` with this machine's inputs. `names`: the files of the configuration.
pub fn with_inputs<T>(names: &[&str], read: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let files = names.join(";");
    let environment = |name: &str| match name {
        "HAPROXY_CFGFILES" => Some(files.clone()),
        "HAPROXY_STARTUP_VERSION" => std::env::var(name)
            .ok()
            .or_else(|| Some(haproxy::VERSION.to_owned())),
        "HAPROXY_LOCALPEER" => std::env::var(name).ok().or_else(host_name),
        name => std::env::var(name).ok(),
    };
    read(&Inputs {
        environment: &environment,
        read: &|path| read_limited(Path::new(path), MAX_REFERRED_BYTES),
        list: &|path, wanted| files::list(Path::new(path), wanted),
        resolve: &resolve,
        certificates_may_be_missing: false,
    })
}

fn host_name() -> Option<String> {
    rustix::system::uname()
        .nodename()
        .to_str()
        .ok()
        .map(str::to_owned)
}

/// The addresses of a name as the system resolves it.
fn resolve(name: &str) -> Vec<IpAddr> {
    let found = (name, 0).to_socket_addrs();
    let mut addresses: Vec<IpAddr> = found
        .map(|found| found.map(|address| address.ip()).collect())
        .unwrap_or_default();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_world() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "2").unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        fs::create_dir(folder.path().join("c")).unwrap();
        let path = folder.path().display().to_string();
        with_inputs(&["x.cfg", "y.cfg"], |inputs| {
            let value = |name: &str| (inputs.environment)(name);
            assert_eq!(value("HAPROXY_CFGFILES").as_deref(), Some("x.cfg;y.cfg"));
            assert!(value("HAPROXY_LOCALPEER").is_some_and(|it| !it.is_empty()));
            assert_eq!(
                (inputs.list)(&path, |name| name != "b"),
                Some(vec!["a".to_owned(), "c/".to_owned()])
            );
            assert_eq!((inputs.list)(&format!("{path}/a"), |_| true), None);
            assert_eq!((inputs.read)(&format!("{path}/a")), Ok(b"1".to_vec()));
            assert!((inputs.read)(&path).is_err());
            let loopback = (inputs.resolve)("127.0.0.1");
            assert_eq!(loopback, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        });
    }
}
