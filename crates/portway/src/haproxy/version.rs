//! `-v` and `-vv`, in the form that scripts take apart: version, target, features and services lines.

use std::fmt::Write;

use portway_dialects::haproxy::{FEATURES, VERSION};

use super::flags::Version;

/// The date of this release, where HAProxy says its own.
const DATE: &str = "2026/11/21";

/// The version of HAProxy whose files are read, and ours.
pub(super) fn version() -> String {
    format!("{VERSION}-portway{}", env!("CARGO_PKG_VERSION"))
}

/// What `-v` or `-vv` prints.
pub(super) fn text(how: Version) -> String {
    let mut text = format!(
        "HAProxy version {} {DATE} - Portway {}, which reads haproxy.cfg\n",
        version(),
        env!("CARGO_PKG_VERSION"),
    );
    if how == Version::Long {
        text.push_str(&built_with());
    }
    text
}

fn built_with() -> String {
    let features: Vec<String> = FEATURES
        .iter()
        .map(|(name, there)| format!("{}{name}", if *there { '+' } else { '-' }))
        .collect();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "Status: reads the files of HAProxy {VERSION} and the words of 1.5; docs/haproxy.md says which.
Build options :
  TARGET  = linux-glibc
  CPU     = {arch}
  CC      = rustc
  OPTIONS =

Feature list : {features}

Built with multi-threading support (default={threads}).
Built with OpenSSL version : none; TLS by rustls with aws-lc-rs
OpenSSL library supports TLS extensions : yes
OpenSSL library supports SNI : yes
OpenSSL library supports : TLSv1.2 TLSv1.3
Built with the Prometheus exporter as a service
Encrypted password support via crypt(3): yes, those of $1$, $2b$, $5$ and $6$

Available polling systems :
      epoll : pref=300,  test result OK
Total: 1 (1 usable), will use epoll.

Available multiplexer protocols :
(protocols marked as <default> cannot be specified using 'proto' keyword)
  <default> : mode=HTTP  side=FE|BE  mux=H1    flags=HTX
         h1 : mode=HTTP  side=FE|BE  mux=H1    flags=HTX|NO_UPG
  <default> : mode=TCP   side=FE|BE  mux=PASS  flags=
       none : mode=TCP   side=FE|BE  mux=PASS  flags=NO_UPG

Available services : prometheus-exporter
Available filters :

",
        arch = std::env::consts::ARCH,
        features = features.join(" "),
        threads = std::thread::available_parallelism().map_or(1, usize::from),
    );
    text
}
