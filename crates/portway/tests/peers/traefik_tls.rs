//! TLS of Traefik at work: what clients show, and what authorities say.

use crate::certificates::{Issuer, Key, certificate};
use crate::edge::clients;
use crate::ocsp::site;
use crate::ocsp_fetch::{is_stapled, responder, with_responder};
use crate::support::{Scene, eventually, free_port};
use crate::traefik::ECHO;

/// Of each kind of options a router.
const OPTIONS: [(&str, &str); 6] = [
    ("none", "caFiles: [ca.pem], clientAuthType: NoClientCert"),
    ("request", "clientAuthType: RequestClientCert"),
    ("any", "clientAuthType: RequireAnyClientCert"),
    (
        "given",
        "caFiles: [ca.pem], clientAuthType: VerifyClientCertIfGiven",
    ),
    (
        "required",
        "caFiles: [ca.pem], clientAuthType: RequireAndVerifyClientCert",
    ),
    ("files", "caFiles: [ca.pem]"),
];

#[test]
fn clients_are_asked_for_certificates_as_options_say() {
    let scene = Scene::new();
    clients(&scene);
    let hosts = OPTIONS.map(|(name, _)| format!("{name}.example"));
    let names = hosts.each_ref().map(String::as_str);
    certificate(&scene, "all", Key::Ecdsa, "all", &names, Issuer::Own);
    let [port, app] = [free_port(), free_port()];
    let _app = scene.python(app, ECHO);
    let each = |line: &dyn Fn(&str, &str) -> String| -> String {
        OPTIONS
            .iter()
            .map(|(name, said)| line(name, said))
            .collect()
    };
    let routers = each(&|name, _| {
        format!(
            "    {name}: {{ rule: \"Host(`{name}.example`)\", service: s, middlewares: [told], tls: {{ options: {name} }} }}\n"
        )
    });
    let options = each(&|name, said| format!("    {name}: {{ clientAuth: {{ {said} }} }}\n"));
    let text = format!(
        "entryPoints: {{ web: {{ address: \"127.0.0.1:{port}\" }} }}
http:
  routers:
{routers}
  middlewares: {{ told: {{ passTLSClientCert: {{ info: {{ subject: {{ commonName: true }} }} }} }} }}
  services: {{ s: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{app}\" }}] }} }} }}
tls:
  certificates: [{{ certFile: all.pem, keyFile: all.key }}]
  options:
{options}"
    );
    scene.file("traefik.yml", text);
    let portway = scene.portway_with(&["traefik.yml"]);
    let refused = None;
    for (options, client, expected) in [
        ("none", "good", Some("")),
        ("request", "", Some("")),
        ("request", "bad", Some("bad")),
        ("any", "", refused),
        ("any", "bad", Some("bad")),
        ("given", "", Some("")),
        ("given", "bad", refused),
        ("given", "good", Some("good")),
        ("required", "", refused),
        ("required", "bad", refused),
        ("required", "good", Some("good")),
        ("files", "", refused),
        ("files", "bad", refused),
        ("files", "good", Some("good")),
    ] {
        let resolve = format!("{options}.example:{port}:127.0.0.1");
        let url = format!("https://{options}.example:{port}/");
        let (pem, key) = (format!("{client}.pem"), format!("{client}.key"));
        let mut arguments = vec!["-k", "--resolve", &resolve, &url];
        if !client.is_empty() {
            arguments.extend(["--cert", &pem, "--key", &key]);
        }
        let output = scene.curl(&arguments);
        let name = format!("{options} {client}: {output}");
        let Some(told) = expected else {
            assert!(!output.status.success(), "{name}");
            continue;
        };
        let body = output.good();
        let line = format!("X-Forwarded-Tls-Client-Cert-Info: Subject%3D%22CN%3D{told}%22");
        match told {
            "" => assert!(!body.contains("X-Forwarded-Tls-Client-Cert"), "{name}"),
            _ => assert!(body.contains(&line), "{name}"),
        }
    }
    portway.stop();
}

#[test]
fn other_responders_are_asked_than_those_that_certificates_name() {
    let scene = Scene::new();
    site(&scene);
    let [port, named, asked] = [(); 3].map(|()| free_port());
    with_responder(&scene, named, "");
    let _authority = responder(&scene, asked, 'V');
    let text = format!(
        "entryPoints: {{ web: {{ address: \"127.0.0.1:{port}\" }} }}
ocsp: {{ responderOverrides: {{ \"http://127.0.0.1:{named}/\": \"http://127.0.0.1:{asked}/\" }} }}
http:
  routers: {{ a: {{ rule: \"Host(`a.example`)\", service: noop@internal, tls: {{}} }} }}
tls: {{ certificates: [{{ certFile: all.pem, keyFile: site.key }}] }}
"
    );
    scene.file("traefik.yml", text);
    let portway = scene.portway_with(&["traefik.yml"]);
    eventually("the answer is shown", || {
        is_stapled(&scene, port).then_some(())
    });
    portway.stop();
}
