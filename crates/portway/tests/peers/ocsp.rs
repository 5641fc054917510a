//! What an authority says of our certificate, shown to clients with it (OCSP stapling), with OpenSSL's responder and client.

use crate::certificates::{Issuer, Key, certificate, handshake, join, openssl, sign};
use crate::stage::{Stage, group, listener};
use crate::support::{PORTWAY, Scene, free_port};

/// What the authority says of a certificate of the scene: `V` for good, `R` for revoked. `signer`: who signs it.
pub(crate) fn answer(scene: &Scene, name: &str, state: char, signer: &str, to: &str) {
    let certificate = format!("{name}.pem");
    let serial = scene.run(
        "openssl",
        &["x509", "-noout", "-serial", "-in", &certificate],
    );
    let serial = serial.good();
    let serial = serial.trim().trim_start_matches("serial=");
    let revoked = if state == 'R' { "260101000000Z" } else { "" };
    let index = format!("{state}\t350101000000Z\t{revoked}\t{serial}\tunknown\t/CN=a\n");
    scene.file("ocsp-index.txt", index);
    let asked = [
        "-issuer",
        "ca.pem",
        "-cert",
        &certificate,
        "-reqout",
        "asked.der",
    ];
    openssl(scene, &[&["ocsp", "-no_nonce"], &asked[..]].concat());
    let (signer, key) = (format!("{signer}.pem"), format!("{signer}.key"));
    let said = [
        "-index",
        "ocsp-index.txt",
        "-CA",
        "ca.pem",
        "-rsigner",
        &signer,
        "-rkey",
        &key,
    ];
    let how = [
        "-reqin",
        "asked.der",
        "-respout",
        to,
        "-ndays",
        "1",
        "-noverify",
    ];
    openssl(scene, &[&["ocsp"], &said[..], &how].concat());
}

/// A certificate `site` of the authority `ca`, in one file with its key and its issuer.
pub(crate) fn site(scene: &Scene) {
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(scene, "stranger", Key::Ecdsa, "Stranger", &[], Issuer::Own);
    let by = Issuer::Signed("ca");
    for name in ["site", "other"] {
        certificate(scene, name, Key::Ecdsa, name, &["a.example"], by);
    }
    join(scene, "all.pem", &["site.pem", "site.key", "ca.pem"]);
    // Somebody whom the authority has named, and somebody of it whom it has not.
    certificate(scene, "named", Key::Ecdsa, "named", &["r.example"], by);
    scene.file("named.ext", "extendedKeyUsage=OCSPSigning\n");
    sign(scene, "named", "30", "77");
}

/// Whether a client is shown that the certificate is good, in either version of TLS.
#[track_caller]
pub(crate) fn check(scene: &Scene, port: u16, stapled: bool) {
    for version in ["-tls1_2", "-tls1_3"] {
        let said = handshake(
            scene,
            port,
            &["-status", "-servername", "a.example", version],
        );
        let good = said.contains("OCSP Response Status: successful (0x0)")
            && said.contains("Cert Status: good");
        let none = said.contains("OCSP response: no response sent");
        assert_eq!((good, none), (stapled, !stapled), "{version}: {said}");
    }
}

#[test]
fn the_answer_of_the_authority_goes_along() {
    let scene = Scene::new();
    site(&scene);
    let port = free_port();
    let text = listener("web", port, "app")
        + "protocol = 'https'\ncertificates = ['site']\n"
        + &group("app", &[9])
        + "[certificate.site]\nfile = 'all.pem'\nocsp = 'site.ocsp'\n";
    answer(&scene, "site", 'V', "ca", "site.ocsp");
    let stage = Stage::with(scene, &text, &[]);
    check(&stage.scene, port, true);
    let reloads = || stage.command(&["reload"]).both();
    for (name, state, signer, wrong) in [
        ("site", 'R', "ca", "it says that the certificate is revoked"),
        ("other", 'V', "ca", "it is of another certificate"),
        ("site", 'V', "stranger", "it is not signed by the issuer"),
        ("site", 'V', "other", "it is not signed by the issuer"),
    ] {
        answer(&stage.scene, name, state, signer, "site.ocsp");
        let said = reloads();
        assert!(said.contains(wrong), "{said}");
        check(&stage.scene, port, false);
        let told = stage.command(&["status"]).good();
        let expected = match state {
            'R' => " revoked\n",
            _ => " no answer of OCSP\n",
        };
        assert!(told.contains(expected), "{told}");
        // The next good one counts, by whoever may sign it; nothing else has changed.
        answer(&stage.scene, "site", 'V', "named", "site.ocsp");
        let said = reloads();
        assert!(said.contains("~ certificate site"), "{said}");
        check(&stage.scene, port, true);
    }
    stage.scene.file("site.ocsp", "no DER");
    assert!(reloads().contains("this is no answer of OCSP"));
    check(&stage.scene, port, false);
    // What is not there is an error, and what is at work stays.
    std::fs::remove_file(stage.scene.path("site.ocsp")).unwrap();
    let said = reloads();
    assert!(said.contains("cannot read"), "{said}");
    stage.portway.stop();
}

#[test]
fn answers_beside_certificates_are_read_as_haproxy_reads_them() {
    let scene = Scene::new();
    site(&scene);
    let port = free_port();
    answer(&scene, "site", 'V', "ca", "all.pem.ocsp");
    let text = |global: &str| {
        format!(
            "global\n {global}\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen web\n bind 127.0.0.1:{port} ssl crt all.pem\n server a 127.0.0.1:9\n"
        )
    };
    for (global, stapled) in [
        ("", true),
        ("ssl-load-extra-files key", false),
        ("ssl-load-extra-files ocsp", true),
    ] {
        scene.file("haproxy.cfg", text(global));
        let portway = scene.portway_with(&["haproxy.cfg"]);
        check(&scene, port, stapled);
        portway.stop();
    }
    // What is shown beside it natively says the same.
    let native = scene.run(PORTWAY, &["convert", "haproxy.cfg"]).good();
    assert!(native.contains("all.pem.ocsp"), "{native}");
}
