//! Certificates made by OpenSSL, as people make them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::support::Scene;

/// What signs a certificate.
#[derive(Clone, Copy)]
pub(crate) enum Issuer<'a> {
    /// The certificate itself.
    Own,
    /// Another one of this scene, by name.
    Signed(&'a str),
}

/// A key that OpenSSL makes.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    Rsa,
    Ecdsa,
}

/// Writes `NAME.key` (PKCS#8) and `NAME.pem`: a certificate of `subject` for the host names `hosts`, or of a CA where
/// there are none.
pub(crate) fn certificate(
    scene: &Scene,
    name: &str,
    key: Key,
    subject: &str,
    hosts: &[&str],
    issuer: Issuer<'_>,
) {
    let file = |end: &str| format!("{name}.{end}");
    let (key_file, request, certificate) = (file("key"), file("csr"), file("pem"));
    let algorithm: &[&str] = match key {
        Key::Rsa => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        Key::Ecdsa => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    };
    openssl(
        scene,
        &[&["genpkey", "-out", &key_file], algorithm].concat(),
    );
    let subject = format!("/CN={subject}");
    let ask = [
        "req", "-new", "-key", &key_file, "-out", &request, "-subj", &subject,
    ];
    openssl(scene, &ask);
    let extensions = if hosts.is_empty() {
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n".to_owned()
    } else {
        let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        format!("subjectAltName={}\n", names.join(","))
    };
    let extension_file = file("ext");
    scene.file(&extension_file, extensions);
    let serial = (name.bytes().map(u32::from).sum::<u32>() + 1000).to_string();
    let sign = [
        "x509",
        "-req",
        "-in",
        &request,
        "-days",
        "30",
        "-sha256",
        "-out",
        &certificate,
        "-extfile",
        &extension_file,
        "-set_serial",
        &serial,
    ];
    match issuer {
        Issuer::Own => openssl(scene, &[&sign[..], &["-signkey", &key_file]].concat()),
        Issuer::Signed(by) => {
            let (ca, ca_key) = (format!("{by}.pem"), format!("{by}.key"));
            openssl(
                scene,
                &[&sign[..], &["-CA", &ca, "-CAkey", &ca_key]].concat(),
            )
        }
    };
}

/// What files of `tests/differential` find in `CERTS`: authorities `ca` and `stranger`, and of `ca` `site` (a.example and
/// *.b.example), `common` (the common name c.example alone), `revoked` and `client`; each as `NAME.pem` with its certificate and
/// `NAME-all.pem` with its key too. `crl.pem` names `revoked`, `crt-list` has all of them with options of their own. `middle` is an
/// authority of `ca`; see [`faulty`] for certificates that something is wrong with.
pub(crate) fn everybody(scene: &Scene) {
    let by = Issuer::Signed("ca");
    certificate(scene, "ca", Key::Rsa, "Root", &[], Issuer::Own);
    certificate(scene, "stranger", Key::Ecdsa, "Stranger", &[], Issuer::Own);
    let site = ["a.example", "*.b.example"];
    certificate(scene, "site", Key::Rsa, "a.example", &site, by);
    certificate(scene, "client", Key::Rsa, "client", &["client"], by);
    certificate(scene, "revoked", Key::Ecdsa, "revoked", &["revoked"], by);
    certificate(scene, "common", Key::Ecdsa, "c.example", &["none"], by);
    let plain = "basicConstraints=CA:FALSE\n";
    scene.file("common.ext", plain);
    let sign = ["x509", "-req", "-in", "common.csr", "-days", "30"];
    let with = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7"];
    let out = ["-out", "common.pem", "-extfile", "common.ext"];
    openssl(scene, &[&sign[..], &with, &out].concat());
    for name in ["site", "client", "revoked", "common"] {
        let parts = [format!("{name}.pem"), format!("{name}.key")];
        join(
            scene,
            &format!("{name}-all.pem"),
            &parts.each_ref().map(String::as_str),
        );
    }
    scene.file(
        "crt-list",
        "site-all.pem\n\
         common-all.pem [alpn http/1.1 ssl-max-ver TLSv1.2] c.example\n\
         client-all.pem [verify required ca-file ca.pem] *.v.example !out.v.example\n\
         revoked-all.pem [ssl-min-ver TLSv1.3 verify optional ca-file ca.pem crl-file crl.pem] r.example\n\
         # another line for the same file\n\
         common-all.pem [] plain.example\n",
    );
    revocations(scene, "ca", &["revoked"], "crl.pem");
    faulty(scene);
}

/// Writes the revocation list of an authority, with these certificates in it.
pub(crate) fn revocations(scene: &Scene, ca: &str, revoked: &[&str], list: &str) {
    scene.file("index.txt", "");
    scene.file("crlnumber", "01\n");
    scene.file(
        "crl.cnf",
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n",
    );
    for name in revoked {
        let revoked = format!("{name}.pem");
        authority(scene, ca, &["-revoke", &revoked]);
    }
    authority(scene, ca, &["-gencrl", "-out", list]);
}

/// The same of nobody, as it was in January 2020: it is over since February.
pub(crate) fn expired_revocations(scene: &Scene, ca: &str, list: &str) {
    revocations(scene, ca, &[], list);
    let (from, until) = ("20200101000000Z", "20200201000000Z");
    let times = ["-crl_lastupdate", from, "-crl_nextupdate", until];
    authority(
        scene,
        ca,
        &[&["-gencrl", "-out", list], &times[..]].concat(),
    );
}

/// Has an authority do something with what it has issued.
fn authority(scene: &Scene, ca: &str, words: &[&str]) {
    let (certificate, key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let by = ["-cert", &certificate, "-keyfile", &key];
    let own = ["ca", "-config", "crl.cnf"];
    openssl(scene, &[&own[..], &by, words].concat());
}

/// `below` is of `middle`, and shown with it in `below-all.pem`, without it in `alone-all.pem`; `old` has expired, `server` is for
/// servers alone, and `own` is of itself.
fn faulty(scene: &Scene) {
    certificate(
        scene,
        "middle",
        Key::Ecdsa,
        "Middle",
        &[],
        Issuer::Signed("ca"),
    );
    let (by, of_middle) = (Issuer::Signed("ca"), Issuer::Signed("middle"));
    certificate(scene, "below", Key::Ecdsa, "below", &["below"], of_middle);
    certificate(scene, "own", Key::Ecdsa, "own", &["own"], Issuer::Own);
    certificate(scene, "old", Key::Ecdsa, "old", &["old"], by);
    certificate(scene, "server", Key::Ecdsa, "server", &["server"], by);
    let sign = |name: &str, extension: &str, more: &[&str]| {
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let extensions = scene.file(&format!("{name}.ext"), extension);
        let sign = ["x509", "-req", "-in", &request, "-out", &certificate];
        let with = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "9"];
        let extensions = ["-extfile", extensions.to_str().unwrap()];
        openssl(scene, &[&sign[..], &with, &extensions, more].concat());
    };
    sign("old", "basicConstraints=CA:FALSE\n", &["-days", "0"]);
    sign("server", "extendedKeyUsage=serverAuth\n", &["-days", "30"]);
    for name in ["own", "old", "server"] {
        let parts = [format!("{name}.pem"), format!("{name}.key")];
        join(
            scene,
            &format!("{name}-all.pem"),
            &parts.each_ref().map(String::as_str),
        );
    }
    join(scene, "alone-all.pem", &["below.pem", "below.key"]);
    join(
        scene,
        "below-all.pem",
        &["below.pem", "middle.pem", "below.key"],
    );
    join(scene, "both.pem", &["ca.pem", "middle.pem"]);
}

/// Runs openssl to its end; its standard output.
#[track_caller]
pub(crate) fn openssl(scene: &Scene, arguments: &[&str]) -> String {
    scene.run("openssl", arguments).good()
}

/// The authority signs `NAME.csr` with the extensions of `NAME.ext`, for so many days.
pub(crate) fn sign(scene: &Scene, name: &str, days: &str, serial: &str) {
    let [request, extensions, signed] = ["csr", "ext", "pem"].map(|it| format!("{name}.{it}"));
    let all = [
        "x509",
        "-req",
        "-in",
        &request,
        "-days",
        days,
        "-set_serial",
        serial,
    ];
    let by = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-extfile",
        &extensions,
        "-out",
        &signed,
    ];
    openssl(scene, &[&all[..], &by].concat());
}

/// Writes a file that holds other files of the scene, one after the other, readable by its owner alone.
pub(crate) fn join(scene: &Scene, name: &str, parts: &[&str]) {
    use std::os::unix::fs::PermissionsExt;
    let text: String = parts.iter().map(|part| scene.read(part)).collect();
    let path = scene.file(name, text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// A client over TLS that stays connected.
pub(crate) struct KeptTls {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl KeptTls {
    /// With the certificate `NAME.pem` and its key.
    pub(crate) fn new(scene: &Scene, port: u16, name: &str) -> Self {
        let place = format!("127.0.0.1:{port}");
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let arguments = ["s_client", "-quiet", "-connect", &place];
        let own = ["-cert", &certificate, "-key", &key];
        let mut client = scene.command("openssl", &[arguments, own].concat());
        client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        Self {
            input: client.stdin.take().unwrap(),
            output: BufReader::new(client.stdout.take().unwrap()),
            client,
        }
    }

    pub(crate) fn asks(&mut self, path: &str) {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        self.input.write_all(request.as_bytes()).unwrap();
    }

    /// The head of the next answer, in lower case.
    pub(crate) fn answer(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.output.read_line(&mut head).unwrap();
            assert!(read > 0, "ended after `{head}`");
        }
        head.to_ascii_lowercase()
    }

    /// Nothing more comes.
    pub(crate) fn ends(&mut self) {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

impl Drop for KeptTls {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// What `openssl s_client` tells of a handshake with a port of 127.0.0.1; blanks in names as all its releases write them.
pub(crate) fn handshake(scene: &Scene, port: u16, arguments: &[&str]) -> String {
    let place = format!("127.0.0.1:{port}");
    let all = [&["s_client", "-connect", &place], arguments].concat();
    scene.run("openssl", &all).both().replace("CN = ", "CN=")
}
