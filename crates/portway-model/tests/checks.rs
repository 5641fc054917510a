//! Every check of compile: what is said, where, and what is advised.
//!
//! Each value of a draft stands at a place with a number; a case is a draft that is wrong in one way and the
//! diagnostics that it gives: code, places, message, advice.
#![cfg(test)]

mod build;

use build::*;
use portway_model::action::{
    Action, AnswerBody, FixedResponse, NewTimeout, Phase, TimeoutKind, Weighted,
};
use portway_model::address::{BindAddress, Host, TargetAddress, UnixSocket};
use portway_model::check_grpc::{GrpcCall, GrpcCheck};
use portway_model::compile::compile;
use portway_model::diagnostic::Severity;
use portway_model::draft::*;
use portway_model::expression::*;
use portway_model::limit::Limit;
use portway_model::log::*;
use portway_model::min_rate::MinRate;
use portway_model::name::Name;
use portway_model::page::PageFrom;
use portway_model::proxied::{PassOn, ProxyField};
use portway_model::settings::*;
use portway_model::span::Spanned;
use portway_model::stage::Named;
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive};
use std::sync::Arc;
use std::time::Duration;

fn set_status(status: u16) -> Action<Named> {
    Action::SetStatus {
        status,
        reason: None,
    }
}

/// Compares what compile says of the plain draft after `change`.
fn check(change: impl FnOnce(&mut Draft), expected: &[&str]) {
    let mut draft = plain();
    change(&mut draft);
    let (snapshot, found) = compile(&draft);
    let said: Vec<String> = found
        .iter()
        .map(|found| {
            let places: Vec<String> = found
                .labels
                .iter()
                .map(|label| label.span.start.to_string())
                .collect();
            let warning = match found.severity {
                Severity::Error => "",
                _ => "warning ",
            };
            let help = found
                .help
                .as_ref()
                .map_or(String::new(), |help| format!(" | {help}"));
            let (code, message) = (found.code, &found.message);
            format!("{warning}{code} @{}: {message}{help}", places.join(" "))
        })
        .collect();
    assert_eq!(said, expected);
    assert_eq!(snapshot.is_some(), !found.has_errors());
}

/// A rule of the listener before its own.
fn rule_first(phase: Phase, action: A) -> impl FnOnce(&mut Draft) {
    move |d| {
        d.listeners[0]
            .rules
            .insert(0, rule(70, phase, always(), vec![action]))
    }
}

/// A test in a rule of the listener before its own.
fn test_first(
    phase: Phase,
    expression: Expression<N>,
    matcher: Matcher<N>,
) -> impl FnOnce(&mut Draft) {
    move |d| {
        let condition = test(71, expression, matcher);
        d.listeners[0].rules.insert(
            0,
            rule(
                70,
                phase,
                condition,
                vec![Action::SetLog(Some(LogLevel::Info))],
            ),
        );
    }
}

#[test]
fn a_plain_draft_compiles() {
    check(|_| {}, &[]);
    check(|d| *d = Draft::default(), &[]);
}

#[test]
fn names() {
    check(
        |d| d.groups.push(group(60, "web")),
        &["P0106 @60 10: two target groups are called `web` | give one of them another name"],
    );
    check(
        |d| d.listeners.push(listener(60, "in", 81, "web")),
        &["P0106 @60 20: two listeners are called `in` | give one of them another name"],
    );
    check(
        |d| d.groups[0].name = at(10, Name::from("")),
        &[
            "P0103 @10: the name of a target group is empty",
            "P0201 @51: there is no target group `web` | no target group is defined",
        ],
    );
    check(
        |d| d.groups[0].name = at(10, Name::from("a\nb")),
        &[
            "P0103 @10: the name of a target group has control characters in it",
            "P0201 @51: there is no target group `web` | no target group is defined",
        ],
    );
    check(
        |d| d.groups[0].name = at(10, Name::from("x".repeat(256))),
        &[
            "P0103 @10: the name of a target group is longer than 255 bytes",
            "P0201 @51: there is no target group `web` | no target group is defined",
        ],
    );
}

#[test]
fn references() {
    check(
        |d| forward_to(d, "wbe"),
        &["P0201 @51: there is no target group `wbe` | did you mean `web`?"],
    );
    check(
        |d| {
            d.groups.clear();
        },
        &["P0201 @51: there is no target group `web` | no target group is defined"],
    );
    check(
        |d| {
            for i in 0..9 {
                d.groups.push(group(60 + i, &format!("group-{i}")));
            }
            d.groups.retain(|x| x.name.value.as_str() != "web");
            forward_to(d, "grup-3");
            d.listeners[0].rules.insert(
                0,
                rule(
                    70,
                    Phase::Request,
                    always(),
                    vec![Action::ForwardByName {
                        name: Template::text("group-1"),
                        fallback: None,
                    }],
                ),
            );
            d.listeners[0].rules.swap(0, 1);
            d.listeners[0].rules[0].condition = test(71, Value::Path.into(), Matcher::Present);
        },
        &["P0201 @51: there is no target group `grup-3` | did you mean `group-3`?"],
    );
    check(
        test_first(
            Phase::Request,
            Value::Path.into(),
            Matcher::Listed {
                list: at(72, Name::from("m")),
            },
        ),
        &["P0201 @72: there is no map `m` | no map is defined"],
    );
    check(
        rule_first(
            Phase::Request,
            Action::Authenticate {
                users: Some(at(72, Name::from("u"))),
                realm: String::new(),
            },
        ),
        &["P0201 @72: there is no userlist `u` | no userlist is defined"],
    );
    check(
        rule_first(
            Phase::Request,
            Action::Track {
                slot: 0,
                key: Value::Source.into(),
                table: at(72, Name::from("t")),
            },
        ),
        &["P0201 @72: there is no stick table `t` | no stick table is defined"],
    );
    check(
        |d| d.listeners[0].certificates.push(at(72, Name::from("c"))),
        &["P0201 @72: there is no certificate `c` | no certificate is defined"],
    );
    check(
        |d| {
            d.groups.push(group(60, "g"));
            d.certificates.push(certificate(61, "c"));
            d.stick_tables.push(table(62, "t", KeyType::Address));
            d.maps.push(map(63, "m", MapMatch::Regex));
            d.userlists.push(users(64, "u"));
        },
        &[
            "warning P0205 @60: nothing refers to target group `g`",
            "warning P0205 @61: nothing refers to certificate `c`",
            "warning P0205 @62: nothing refers to stick table `t`",
            "warning P0205 @63: nothing refers to map `m`",
            "warning P0205 @64: nothing refers to userlist `u`",
        ],
    );
}

#[test]
fn shared_addresses() {
    let shared = |first: bool, second: bool| {
        move |d: &mut Draft| {
            d.listeners.push(listener(60, "second", 81, "web"));
            d.listeners[0].binds = vec![at(21, BindAddress::tcp(None, 80))];
            d.listeners[1].binds = vec![at(61, BindAddress::tcp(None, 80))];
            for (listener, shared) in d.listeners.iter_mut().zip([first, second]) {
                listener.socket.shared = Some(at(62, shared));
            }
        }
    };
    check(shared(true, true), &[]);
    check(
        shared(true, false),
        &["P0202 @61 21: listener `in` and listener `second` both accept on `:80`"],
    );
}

#[test]
fn bind_addresses() {
    let second = |address: BindAddress| {
        move |d: &mut Draft| {
            d.listeners.push(listener(60, "second", 81, "web"));
            d.listeners[1].binds = vec![at(61, address)];
        }
    };
    let ip = |text: &str| Some(text.parse().unwrap());
    check(
        second(BindAddress::tcp(None, 80)),
        &["P0202 @61 21: listener `in` and listener `second` both accept on `:80`"],
    );
    check(second(BindAddress::tcp(ip("127.0.0.1"), 80)), &[]);
    check(
        second(BindAddress::Tcp {
            ip: ip("::1"),
            first_port: 70,
            last_port: 90,
        }),
        &[],
    );
    check(
        second(BindAddress::Tcp {
            ip: ip("0.0.0.0"),
            first_port: 70,
            last_port: 90,
        }),
        &["P0202 @61 21: listener `in` and listener `second` both accept on `0.0.0.0:70-90`"],
    );
    check(
        |d| {
            second(BindAddress::tcp(None, 80))(d);
            d.listeners[1].socket.interface = Some(at(62, "lo".to_owned()));
        },
        &[],
    );
    check(
        second(BindAddress::Tcp {
            ip: None,
            first_port: 81,
            last_port: 90,
        }),
        &[],
    );
    check(
        second(BindAddress::tcp(ip("127.0.0.1"), 9900)),
        &[
            "P0202 @61: the admin address and listener `second` both accept on `127.0.0.1:9900` | give the process another `admin` address, or the listener another port",
        ],
    );
    check(second(BindAddress::tcp(ip("127.0.0.2"), 9900)), &[]);
    check(
        |d| {
            d.process.admin = Some(at(5, "0.0.0.0:80".parse().unwrap()));
        },
        &[
            "P0202 @21 5: the admin address and listener `in` both accept on `:80` | give the process another `admin` address, or the listener another port",
        ],
    );
    check(
        |d| {
            d.listeners[0]
                .binds
                .push(at(22, BindAddress::tcp(ip("::"), 80)))
        },
        &["P0106 @22 21: listener `in` accepts on `[::]:80` twice"],
    );
    check(
        |d| {
            d.listeners[0].binds = vec![
                at(22, BindAddress::tcp(ip("::"), 80)),
                at(23, BindAddress::tcp(ip("0.0.0.0"), 80)),
                at(24, BindAddress::unix("/run/a")),
                at(25, BindAddress::Inherited(3)),
            ]
        },
        &[],
    );
    check(
        |d| {
            d.listeners[0].binds = vec![
                at(22, BindAddress::unix("/run/a")),
                at(23, BindAddress::unix("/run/a")),
                at(24, BindAddress::Inherited(3)),
                at(25, BindAddress::Inherited(3)),
            ]
        },
        &[
            "P0106 @23 22: listener `in` accepts on `unix:/run/a` twice",
            "P0106 @25 24: listener `in` accepts on `fd:3` twice",
        ],
    );
    check(
        |d| {
            d.listeners[0].binds = vec![
                at(22, BindAddress::tcp(None, 0)),
                at(
                    23,
                    BindAddress::Tcp {
                        ip: None,
                        first_port: 9,
                        last_port: 8,
                    },
                ),
                at(24, BindAddress::unix(String::new())),
                at(25, BindAddress::unix("x".repeat(108))),
                at(26, BindAddress::unix("a\0")),
            ]
        },
        &[
            "P0103 @22: port 0 cannot be accepted on",
            "P0103 @23: the range of ports ends before it begins",
            "P0103 @24: the socket has no path",
            "P0103 @25: the path of the socket is longer than 107 bytes",
            "P0103 @26: the path of the socket holds a NUL",
        ],
    );
    check(
        |d| d.listeners[0].binds.clear(),
        &[
            r#"P0104 @20: listener `in` has no address | say where it accepts, such as `bind = ":80"`"#,
        ],
    );
}

#[test]
fn an_address_conflicts_once() {
    check(
        |d| {
            for (place, name) in [(60, "b"), (62, "c"), (64, "d")] {
                d.listeners.push(listener(place, name, 80, "web"));
            }
        },
        &[
            "P0202 @61 21: listener `in` and listener `b` both accept on `:80`",
            "P0202 @63 21: listener `in` and listener `c` both accept on `:80`",
            "P0202 @65 21: listener `in` and listener `d` both accept on `:80`",
        ],
    );
}

#[test]
fn protocols() {
    check(
        |d| {
            d.groups[0].protocol = Some(at(12, Protocol::Tcp));
        },
        &[
            "P0208 @51 12: an http listener forwards to target group `web`, which speaks tcp | let the group speak `http` or `https`, or the listener `tcp` or `tls`",
        ],
    );
    check(
        |d| {
            d.listeners[0].protocol = Some(at(22, Protocol::Tcp));
        },
        &[
            "P0206 @50 22: tcp listener `in` has no request phase | it reads no requests: let it speak `http`, or put the rule on an http target group",
        ],
    );
    check(
        |d| {
            tcp(d);
            d.groups[0].protocol = Some(at(12, Protocol::Https));
        },
        &[],
    );
    check(
        |d| {
            d.listeners[0].protocol = Some(at(22, Protocol::Https));
        },
        &[
            "P0104 @20: https listener `in` has no certificate | name a file with certificate and key in `certificate_files`, or a `certificate` in `certificates`",
        ],
    );
    check(
        |d| {
            d.certificates.push(certificate(61, "c"));
            d.listeners[0].certificates = vec![at(23, Name::from("c")), at(24, Name::from("c"))];
        },
        &["warning P0106 @24 23: certificate `c` is named twice"],
    );
    check(
        |d| {
            d.certificates.push(certificate(61, "c"));
            d.listeners[0].certificates = vec![at(23, Name::from("c"))];
            d.listeners[0].protocol = Some(at(22, Protocol::Http));
        },
        &["P0105 @23 22: certificates on a listener that speaks http | let it speak `https`"],
    );
    check(
        |d| d.listeners[0].tls.strict_sni = Some(at(23, true)),
        &[
            "P0105 @23: TLS settings on a listener that speaks http | give it `certificates`: it then speaks https",
        ],
    );
    check(
        |d| {
            tcp(d);
            d.listeners[0].tls.alpn = Some(at(23, vec![]));
        },
        &[
            "P0105 @23 22: TLS settings on a listener that speaks tcp | let it speak `tls`, which a preset calls `SSL`",
        ],
    );
    check(
        |d| {
            let uses = vec![Action::UseTarget(Template::text("nobody"))];
            let any = Condition::All(vec![]);
            d.groups[0].rules.push(rule(14, Phase::Request, any, uses));
        },
        &["P0201 @14: there is no target `nobody` in target group `web`"],
    );
    check(
        |d| d.groups[0].targets[0].tls = Some(at(13, TargetTlsDraft::Group(true))),
        &[
            "P0105 @13: a target with TLS in a target group without it | let the group speak `https` or `tls`, and give the others `tls = false`",
        ],
    );
    check(
        |d| d.groups[0].targets[0].send_proxy = Some(at(13, TargetSendProxy::Group)),
        &[
            "P0105 @13: a target with the PROXY protocol in a target group without it | give the group `send_proxy`, and the others `send_proxy = false`",
        ],
    );
    check(
        |d| d.groups[0].tls.verify = Some(at(13, Verify::Off)),
        &[
            "P0105 @13: TLS settings on a target group that speaks http | let it speak `https`, and give targets `tls = false` of which checks alone do",
        ],
    );
    check(
        |d| {
            tcp(d);
            d.groups[0].protocol = Some(at(12, Protocol::Tcp));
            d.groups[0].tls.server_name = Some(at(13, ServerName::None));
        },
        &[
            "P0105 @13 12: TLS settings on a target group that speaks tcp | let it speak `tls`, and give targets `tls = false` of which checks alone do",
        ],
    );
    check(
        |d| {
            tcp(d);
            d.groups[0].stickiness = Some(at(13, cookie()));
            d.groups[0].rules.push(rule(
                14,
                Phase::Request,
                always(),
                vec![Action::SetLog(Some(LogLevel::Info))],
            ));
        },
        &[
            "P0208 @13: a target group that speaks tcp has no cookies | keep clients by the algorithm `source_hash` or a `stick` rule",
            "P0206 @14 10: tcp target group `web` has no request phase | it reads no requests: let it speak `http`, or move the rule to the client-hello or response phase",
        ],
    );
}

#[test]
fn tls() {
    let change = |change: fn(&mut ListenerTlsDraft)| {
        move |d: &mut Draft| {
            https(d);
            change(&mut d.listeners[0].tls);
        }
    };
    check(change(|_| {}), &[]);
    let words = |words: &[&str]| words.iter().map(|x| x.to_string()).collect::<Vec<_>>();
    let alpn = |list: Vec<String>| {
        move |d: &mut Draft| {
            https(d);
            d.listeners[0].tls.alpn = Some(at(28, list));
        }
    };
    check(alpn(words(&["h2", "http/1.1"])), &[]);
    check(
        alpn(words(&["h3", "", "h2", "h2"])),
        &[
            "P0101 @28: an https listener does not speak the ALPN protocol `h3` | did you mean `h2`?",
            "P0103 @28: an ALPN protocol has from 1 to 255 bytes",
            "P0106 @28: the ALPN protocol `h2` is named twice",
        ],
    );
    check(
        change(|tls| tls.clients.auth = Some(at(28, ClientAuth::Required))),
        &[
            "P0104 @28: client certificates are asked for, and no CA says which are good | name a file of CA certificates in `client_ca`",
        ],
    );
    // What is wrong with it does not matter: no CA is needed, and no judge.
    check(
        change(|tls| tls.clients.auth = Some(at(28, ClientAuth::OptionalAny))),
        &[],
    );
    check(
        change(|tls| {
            tls.clients.auth = Some(at(28, ClientAuth::RequiredAny));
            tls.clients.judge = Some(at(29, CertificateJudge::Openssl));
            tls.clients.ignored = Some(at(30, Faults::ALL));
        }),
        &[
            "P0105 @29: any certificate is taken, whatever is wrong with it | take this out, or set `client_auth` to `optional` or `required`",
        ],
    );
    check(
        change(|tls| tls.clients.ca = vec![at(28, "ca.pem".into())]),
        &[
            "warning P0105 @28: a CA for client certificates that nothing asks for | set `client_auth` to `required` or `optional`",
        ],
    );
    check(
        change(|tls| tls.clients.crl = Some(at(28, String::new()))),
        &["P0103 @28: this is not a file name"],
    );
    check(
        change(|tls| {
            tls.policy.min_version = Some(at(28, TlsVersion::V13));
            tls.policy.max_version = Some(at(29, TlsVersion::V12));
            tls.policy.suites = Some(at(30, vec![]));
            tls.policy.name = Some(at(31, String::new()));
        }),
        &[
            "P0105 @28 29: the lowest TLS version is above the highest",
            "P0104 @30: a list of no cipher suites | leave it out to have those of the policy",
            "P0103 @31: the name of the TLS policy is empty",
        ],
    );
    check(
        |d| {
            d.groups[0].protocol = Some(at(12, Protocol::Https));
            d.groups[0].tls.verify = Some(at(13, Verify::Off));
            d.groups[0].tls.crl = Some(at(14, "a.crl".into()));
            let own = UpstreamTlsDraft {
                verify_name: Some(at(15, VerifyName::SentOr("a b".into()))),
                ..UpstreamTlsDraft::default()
            };
            let own = TargetTlsDraft::Own(Box::new(own));
            d.groups[0].targets[0].tls = Some(at(16, own));
        },
        &[
            "P0105 @14: a CRL, and certificates are not verified | leave one of the two out",
            "P0103 @15: `a b` is not a host name",
        ],
    );
    check(
        |d| {
            d.groups[0].protocol = Some(at(12, Protocol::Https));
            d.groups[0].tls.verify = Some(at(13, Verify::Ca(vec![String::new()])));
            d.groups[0].tls.server_name = Some(at(14, ServerName::Fixed("a b".into())));
        },
        &[
            "P0103 @13: the CA is not a file name",
            "P0103 @14: `a b` is not a host name",
        ],
    );
}

#[test]
fn targets() {
    let host = |name: &str, port| TargetAddress::Tcp {
        host: Host::Name(name.into()),
        port,
    };
    check(
        |d| d.groups[0].targets.clear(),
        &[
            "warning P0204 @10: target group `web` has no targets | requests that come to it are answered with 503",
        ],
    );
    check(
        |d| d.groups[0].targets = vec![target(12, host("a", 1)), target(13, host("a", 1))],
        &["P0106 @13 12: two targets are called `a:1` | give one of them another `name`"],
    );
    check(
        |d| {
            d.groups[0].targets = vec![target(12, host("a", 1)), target(13, host("a", 1))];
            d.groups[0].targets[1].name = Some(at(14, Name::from("b")));
        },
        &["warning P0106 @13 12: two targets live at `a:1`"],
    );
    check(
        |d| d.groups[0].targets = vec![target(12, host("a b", 0))],
        &[
            "P0103 @12: `a b` is not a host name",
            "P0103 @12: a target cannot have port 0",
        ],
    );
    check(
        |d| {
            d.groups[0].targets = vec![
                target(12, TargetAddress::Unix(String::new())),
                target(13, TargetAddress::ClientDestination { port: Some(0) }),
            ]
        },
        &[
            "P0103 @12: the socket is not a file name",
            "P0103 @13: a target cannot have port 0",
        ],
    );
    check(
        |d| {
            d.groups[0].retries = Some(at(12, 1_000));
            d.groups[0].pool_size = Some(at(13, 1_000_000));
        },
        &[
            "P0103 @12: 1000 is out of range for retries | from 0 to 100",
            "P0103 @13: 1000000 is out of range for a pool size | from 0 to 65536",
        ],
    );
    check(
        |d| {
            d.groups[0].retry_body_bytes = Some(at(12, 1_000));
            d.groups[0].timeouts.inspect_response = Some(at(13, Duration::from_secs(1)));
        },
        &[
            "warning P0205 @13: what a target of HTTP sends first is a response: rules of the `response` phase see it | leave it out",
        ],
    );
    check(
        |d| {
            d.groups[0].protocol = Some(at(11, Protocol::Tcp));
            d.groups[0].retry_body_bytes = Some(at(12, 1_000));
            d.groups[0].life.max_requests = Some(at(14, 10));
            d.groups[0].timeouts.inspect_response = Some(at(13, Duration::from_secs(1)));
        },
        &[
            "warning P0205 @12: a stream has no bodies that could be held | leave it out",
            "warning P0205 @14: a connection that carries no requests is not ended between two of them | leave it out: `timeouts.tunnel` ends connections that are silent",
            "P0208 @51 11: an http listener forwards to target group `web`, which speaks tcp | let the group speak `http` or `https`, or the listener `tcp` or `tls`",
        ],
    );
    check(
        |d| {
            let http2 = &mut d.listeners[0].http2;
            http2.max_streams = Some(at(12, 0));
            http2.initial_window = Some(at(13, 100_000));
            http2.max_window = Some(at(14, 70_000));
            http2.connection_window = Some(at(15, 65_534));
            http2.max_reset_rate = Some(at(16, 0));
            http2.max_idle_frame_rate = Some(at(17, 2_000_000));
        },
        &[
            "P0103 @12: 0 is out of range for the streams at a time | from 1 to 10000",
            "P0105 @14: the window of a stream begins with 100000 bytes, and would grow to 70000 | write as much as `initial_window` has, or more",
            "P0103 @15: 65534 is out of range for the window of a connection | from 65535 to 16777216",
            "P0103 @16: 0 is out of range for the rate of resets | from 1 to 1000000",
            "P0103 @17: 2000000 is out of range for the rate of idle frames | from 1 to 1000000",
        ],
    );
    check(
        |d| {
            let mut cookie = cookie();
            cookie.name = "a b".into();
            cookie.path = "x;".into();
            cookie.domains = vec!["/".into()];
            cookie.max_age = Some(Duration::from_millis(1));
            cookie.same_site = Some(SameSite::None);
            d.groups[0].stickiness = Some(at(12, cookie));
        },
        &[
            "P0103 @12: `a b` is not the name of a cookie | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            "P0103 @12: the path of a cookie `x;` does not begin with a slash | write `/x;`",
            "P0103 @12: `/` is not a host name",
            "P0103 @12: the path of a cookie may not hold `;`",
            "P0103 @12: a cookie cannot live so long | whole seconds, from a second to 400 days",
            "warning P0105 @12: browsers drop a cookie with SameSite=None and without Secure | set `secure`",
        ],
    );
}

/// The algorithm by the hash of a value.
fn hash(value: Value<N>) -> Algorithm<N> {
    Algorithm::Hash {
        value: value.into(),
        method: HashMethod::Consistent,
    }
}

#[test]
fn cookies_of_stickiness() {
    let with = |change: fn(&mut StickyCookie)| {
        move |d: &mut Draft| {
            let mut cookie = cookie();
            change(&mut cookie);
            d.groups[0].stickiness = Some(at(12, cookie));
        }
    };
    check(
        with(|c| {
            c.max_idle = Some(Duration::from_millis(1));
            c.attributes = vec!["a;b".into()];
        }),
        &[
            "P0103 @12: an attribute of a cookie may not hold `;`",
            "P0103 @12: a cookie's age is told in whole seconds",
        ],
    );
    check(
        with(|c| {
            c.mode = CookieMode::Rewrite;
            c.indirect = true;
        }),
        &[
            "P0105 @12: a cookie of the target that the target does not see | `indirect` goes with `mode = \"insert\"`",
        ],
    );
    check(
        with(|c| {
            c.mode = CookieMode::Prefix;
            c.preserve = true;
        }),
        &[
            "P0105 @12: `preserve` without a cookie of Portway's | `preserve` goes with `mode = \"insert\"` or with `indirect`",
        ],
    );
    check(
        |d| d.groups[0].targets[0].cookie = Some(at(12, "a b".into())),
        &[
            "P0103 @12: `a b` cannot stand in a cookie | printable ASCII without blanks and without `;`",
            "warning P0214 @12: `cookie` of a target does nothing without `stickiness` of its group | add for example stickiness = { cookie = \"SERVER\" } to the group, or leave it out",
        ],
    );
}

#[test]
fn targets_that_are_like_others() {
    let host = |name: &str| TargetAddress::Tcp {
        host: Host::Name(name.to_owned()),
        port: 1,
    };
    let track = |number: usize, target: &str| {
        Some(at(
            number,
            TrackedDraft {
                group: None,
                target: at(number + 1, Name::from(target)),
            },
        ))
    };
    let with = |change: fn(&mut [TargetDraft], Track)| {
        move |d: &mut Draft| {
            d.groups[0].targets = vec![target(12, host("a")), target(13, host("b"))];
            change(&mut d.groups[0].targets, track);
        }
    };
    type Track = fn(usize, &str) -> Option<portway_model::span::Spanned<TrackedDraft>>;
    check(with(|t, track| t[0].track = track(14, "b:1")), &[]);
    check(
        with(|t, track| t[0].track = track(14, "c")),
        &["P0201 @15 10: target group `web` has no target `c`"],
    );
    check(
        with(|t, track| {
            t[0].track = track(14, "b:1");
            t[1].track = track(16, "a:1");
        }),
        &[
            "P0105 @15: targets are like each other in a circle | one of them must be checked itself",
            "P0105 @17: targets are like each other in a circle | one of them must be checked itself",
        ],
    );
    check(
        with(|t, _| {
            t[0].number = Some(at(14, 7));
            t[1].number = Some(at(15, 7));
        }),
        &["P0106 @15 14: two targets have the number 7"],
    );
    check(
        with(|t, _| t[0].check = Some(at(14, TargetCheckDraft::default()))),
        &[
            "P0104 @14: a target with a check in a group without one | say `health_check` in the group",
        ],
    );
    check(
        with(|t, _| t[0].agent = Some(at(14, AgentDraft::default()))),
        &[
            "P0104 @14: an agent without a port | say the `port` that it listens on (haproxy.cfg: `agent-port`)",
        ],
    );
}

#[test]
fn health_checks() {
    let with = |change: fn(&mut HealthCheckDraft)| {
        move |d: &mut Draft| {
            let mut check = HealthCheckDraft::default();
            change(&mut check);
            d.groups[0].health_check = Some(at(12, check));
        }
    };
    check(
        with(|c| c.interval = Some(at(13, Duration::from_secs(1)))),
        &[],
    );
    check(
        with(|c| {
            c.interval = Some(at(13, Duration::from_secs(1)));
            c.timeout = Some(at(14, Duration::from_secs(2)));
        }),
        &["warning P0105 @14 13: a check may last longer than the time between two checks"],
    );
    check(
        with(|c| {
            c.interval = Some(at(13, Duration::ZERO));
            c.unhealthy_interval = Some(at(14, Duration::from_secs(9_999_999)));
            c.healthy_threshold = Some(at(15, 0));
            c.unhealthy_threshold = Some(at(16, 1001));
            c.port = Some(at(17, 0));
            c.jitter_percent = Some(at(18, 51));
        }),
        &[
            "P0103 @13: the interval of checks is zero | give a time, such as `30s`",
            "P0103 @14: the interval of checks is too long | the longest is 24 days",
            "P0103 @15: 0 is out of range for a threshold | from 1 to 1000",
            "P0103 @16: 1001 is out of range for a threshold | from 1 to 1000",
            "P0103 @17: 0 is out of range for a port | from 1 to 65535",
            "P0103 @18: 51 is out of range for the jitter of checks, in percent | from 0 to 50",
        ],
    );
    check(
        with(|c| {
            let mut http = http_check();
            http.method = "G T".into();
            http.path = "status".into();
            http.host = Some("a b".into());
            http.headers = vec![("a b".into(), "c\nd".into())];
            http.expect = vec![
                NumberRange { min: 300, max: 200 },
                NumberRange { min: 99, max: 200 },
            ];
            http.body = Some(at(18, "(".into()));
            c.kind = Some(at(13, CheckKind::Http(http)));
        }),
        &[
            "P0103 @13: `G T` is not a method | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            "P0103 @13: the path of a check `status` does not begin with a slash | write `/status`",
            "P0103 @13: the host of a check may not hold ` `",
            "P0103 @13: `a b` is not a header name | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            r#"P0103 @13: a header's value may not hold `\n`"#,
            "P0103 @13: the range from 300 to 200 is empty | write 200-300",
            "P0103 @13: 99 is out of range for a status | from 100 to 599",
            "P0209 @18: the regular expression `(` does not compile | unclosed group",
        ],
    );
    check(
        with(|c| {
            let mut http = http_check();
            http.expect.clear();
            c.kind = Some(at(13, CheckKind::Https(http)));
        }),
        &["P0104 @13: a check that no status passes | say which statuses pass, such as `200-399`"],
    );
    fn call(call: GrpcCall) -> GrpcCheck {
        GrpcCheck {
            call,
            authority: None,
            metadata: vec![],
        }
    }
    check(
        with(|c| {
            let method = GrpcCall::Method {
                path: "a.B/C".into(),
                codes: vec![
                    NumberRange { min: 0, max: 100 },
                    NumberRange { min: 5, max: 3 },
                ],
            };
            let mut check = call(method);
            check.authority = Some("a b".into());
            check.metadata = vec![
                ("TE".into(), "x".into()),
                ("grpc-timeout".into(), "1S".into()),
                ("x".into(), "a\nb".into()),
            ];
            c.kind = Some(at(13, CheckKind::Grpc(check)));
        }),
        &[
            "P0103 @13: a method of gRPC `a.B/C` does not begin with a slash | write `/a.B/C`",
            "P0103 @13: 100 is out of range for a status code of gRPC | from 0 to 99",
            "P0103 @13: the range from 5 to 3 is empty | write 3-5",
            "P0103 @13: the host of a check by gRPC may not hold ` ` | write the name, and its port where it has one: `a.example:8443`",
            "P0105 @13: `TE` is of the call itself | leave it away; `host` of the check says the authority, `timeout` the time",
            "P0105 @13: `grpc-timeout` is of the call itself | leave it away; `host` of the check says the authority, `timeout` the time",
            r#"P0103 @13: a header's value may not hold `\n`"#,
        ],
    );
    check(
        with(|c| {
            let method = GrpcCall::Method {
                path: "/a.B/C".into(),
                codes: vec![],
            };
            c.kind = Some(at(13, CheckKind::Grpcs(call(method))));
        }),
        &[
            "P0104 @13: a check that no status code passes | say which codes pass, such as 0 or `0-99`",
        ],
    );
    check(
        with(|c| {
            let method = GrpcCall::Method {
                path: "/Check".into(),
                codes: vec![NumberRange { min: 0, max: 0 }],
            };
            c.kind = Some(at(13, CheckKind::Grpc(call(method))));
        }),
        &[
            "warning P0103 @13: `/Check` names no method of a service | targets of gRPC know methods by `/package.Service/Method`, such as `/grpc.health.v1.Health/Check`",
        ],
    );
    check(
        with(|c| {
            let service = "a\n".into();
            c.kind = Some(at(13, CheckKind::Grpc(call(GrpcCall::Health { service }))));
        }),
        &[r#"P0103 @13: a service of gRPC may not hold `\n`"#],
    );
    check(
        with(|c| c.kind = Some(at(13, CheckKind::Script(vec![])))),
        &["P0104 @13: a scripted check without steps"],
    );
    check(
        with(|c| {
            c.kind = Some(at(
                13,
                CheckKind::Script(vec![
                    CheckStep::Connect(CheckConnect {
                        port: Some(0),
                        ..CheckConnect::default()
                    }),
                    CheckStep::Expect(CheckExpect::new(Expectation::Pattern(at(14, "[".into())))),
                ]),
            ))
        }),
        &[
            "P0103 @13: a check cannot connect to port 0",
            "P0209 @14: the regular expression `[` does not compile | unclosed character class",
        ],
    );
}

#[test]
fn tables() {
    check(
        |d| {
            https(d);
            d.certificates[0].file = None;
        },
        &[
            "P0104 @40: certificate `cert` has no file | name a PEM file with the certificate and its chain in `file`",
        ],
    );
    let stick = |change: fn(&mut StickTableDraft)| {
        move |d: &mut Draft| {
            let mut table = table(60, "t", KeyType::Address);
            change(&mut table);
            d.stick_tables.push(table);
            rule_first(Phase::Request, track("t", Value::Source.into()))(d);
        }
    };
    check(
        stick(|t| {
            t.key = None;
            t.size = None;
        }),
        &[
            r#"P0104 @60: stick table `t` does not say what its keys are | say `key = "address"`, `"number"` or `"text"`"#,
            "P0104 @60: stick table `t` does not say its size | say how many entries it has at most in `size`",
        ],
    );
    check(
        stick(|t| {
            t.size = Some(at(62, 0));
            t.key = Some(at(63, KeyType::Text { length: 0 }));
            t.expire = Some(at(64, Duration::ZERO));
        }),
        &[
            "P0103 @62: 0 is out of range for a size | from 1 to 100000000",
            "P0103 @63: 0 is out of range for a key length | from 1 to 4096",
            "P0103 @64: the life of an entry is zero | give a time, such as `30s`",
        ],
    );
    check(
        stick(|t| {
            t.store = vec![
                at(
                    64,
                    StoredCounter {
                        counter: Counter::Requests,
                        period: None,
                    },
                ),
                at(
                    65,
                    StoredCounter {
                        counter: Counter::Requests,
                        period: None,
                    },
                ),
                at(
                    66,
                    StoredCounter {
                        counter: Counter::RequestRate,
                        period: None,
                    },
                ),
                at(
                    67,
                    StoredCounter {
                        counter: Counter::Errors,
                        period: Some(Duration::from_secs(1)),
                    },
                ),
                at(
                    68,
                    StoredCounter {
                        counter: Counter::ErrorRate,
                        period: Some(Duration::ZERO),
                    },
                ),
            ]
        }),
        &[
            "P0106 @65 64: a counter is stored twice",
            "P0104 @66: a rate without a period | say over which time it is counted, such as `10s`",
            "P0105 @67: a period on what is not a rate | leave the period out, or store the rate",
            "P0103 @68: the period of a rate is zero | give a time, such as `30s`",
        ],
    );
    let used_map = |change: fn(&mut MapDraft)| {
        move |d: &mut Draft| {
            let mut map = map(60, "m", MapMatch::Text(TextMatch::Exact));
            change(&mut map);
            d.maps.push(map);
            test_first(
                Phase::Request,
                Value::Host.into(),
                Matcher::Listed {
                    list: at(75, Name::from("m")),
                },
            )(d);
        }
    };
    check(
        used_map(|m| m.entries.clear()),
        &["P0104 @60: map `m` has neither entries nor a file | give `entries` or a `file`"],
    );
    check(
        used_map(|m| m.entries.push(m.entries[0].clone())),
        &["warning P0106 @61 61: the key `a` is there twice; the first counts"],
    );
    check(
        used_map(|m| m.compare = Some(at(62, MapMatch::Address))),
        &[
            "P0102 @61: `a` is neither an address nor a network | write it like `192.0.2.1` or `2001:db8::/32`",
        ],
    );
    check(
        used_map(|m| {
            m.compare = Some(at(62, MapMatch::Regex));
            m.entries.push((at(63, "(".into()), at(64, String::new())));
        }),
        &["P0209 @63: the regular expression `(` does not compile | unclosed group"],
    );
    check(
        used_map(|m| m.file = Some(at(62, String::new()))),
        &["P0103 @62: this is not a file name"],
    );
    check(
        |d| {
            let mut list = users(60, "u");
            let user = |name, hash: Spanned<String>| UserDraft {
                name,
                password: hash.map(Password::Crypt),
                groups: Vec::new(),
            };
            list.users = vec![
                user(at(61, "a".into()), at(62, "x".into())),
                user(at(63, "a".into()), at(64, String::new())),
                user(at(65, "a:b".into()), at(66, "x".into())),
            ];
            d.userlists.push(list);
            rule_first(
                Phase::Request,
                Action::Authenticate {
                    users: Some(at(72, Name::from("u"))),
                    realm: "a\nb".into(),
                },
            )(d);
        },
        &[
            "P0106 @63 61: user `a` is there twice",
            "P0104 @64: user `a` has no password hash | make one with `openssl passwd -6`",
            "P0103 @65: `a:b` cannot be a user's name | Basic authorization ends a name at its first colon",
            r#"P0103 @70: a realm may not hold `\n`"#,
        ],
    );
}

#[test]
fn settings() {
    let id = |header: &str| RequestIdDraft {
        header: Some(at(26, header.into())),
        format: None,
    };
    check(
        |d| {
            d.process.workers = Some(at(1, 5_000));
            d.process.ready_delay = Some(at(2, Duration::ZERO));
            d.process.shutdown_deadline = Some(at(3, Duration::from_micros(1)));
            d.process.user = Some(at(4, String::new()));
            d.process.description = Some(at(5, "a\nb".into()));
            d.process.chroot = Some(at(6, "jail".into()));
            d.process.pid_file = Some(at(7, String::new()));
            d.process.max_memory = Some(at(8, 0));
        },
        &[
            "P0103 @1: 5000 is out of range for workers | from 0 to 1024",
            "P0103 @3: the shutdown deadline is below a millisecond | the shortest is `1ms`",
            "P0103 @4: `` cannot be a user | write one line that is not empty",
            "P0103 @5: `a\\nb` cannot be a description | write one line that is not empty",
            "P0103 @6: the new root `jail` does not begin with a slash | write `/jail`",
            "P0103 @7: the pid file is not a file name",
            "P0103 @8: 0 is out of range for max_memory | from 1048576 to 1125899906842624",
        ],
    );
    let initial = |value: Value<Named>| {
        move |d: &mut Draft| {
            let part = TemplatePart::Expression(at(9, value.into()));
            let name = at(8, Name::from("limit"));
            d.process.variables = vec![(name, at(9, Template(vec![part])))];
        }
    };
    check(initial(Value::Hostname), &[]);
    check(
        initial(Value::Source),
        &["P0206 @9: the source address is not known when the process starts"],
    );
    check(
        |d| {
            let timeouts = &mut d.listeners[0].timeouts;
            timeouts.client = Some(at(23, Duration::ZERO));
            timeouts.tunnel = Some(at(24, Duration::from_secs(30 * 24 * 3600)));
            d.groups[0].timeouts.connect = Some(at(13, Duration::ZERO));
            d.listeners[0].head_bytes = Some(at(25, 10));
            d.listeners[0].head_fields = Some(at(27, 0));
            d.listeners[0].target_bytes = Some(at(28, 8));
            d.listeners[0].request_id = Some(at(26, id("x y")));
        },
        &[
            "P0103 @13: the connect timeout is zero | give a time, such as `30s`",
            "P0103 @23: the client timeout is zero | give a time, such as `30s`",
            "P0103 @24: the tunnel timeout is too long | the longest is 24 days",
            "P0103 @25: 10 is out of range for a request head | from 1024 to 1048576",
            "P0103 @26: `x y` is not a header name | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            "P0103 @27: 0 is out of range for the fields of a head | from 1 to 32767",
            "P0103 @28: 8 is out of range for a request target | from 64 to 1048576",
        ],
    );
    check(
        |d| d.listeners[0].request_id = Some(at(26, id("Connection"))),
        &[
            "P0103 @26: a rule may not write the header `Connection` | it belongs to one connection, and Portway writes it as each side needs it",
        ],
    );
    let page = |place, status, file: &str| ErrorPageDraft {
        status: at(place, status),
        page: at(place + 1, ErrorPageSource::File(file.into())),
    };
    check(
        |d| {
            d.listeners[0].error_pages =
                vec![page(23, 503, "a"), page(25, 503, "b"), page(27, 600, "")]
        },
        &[
            "P0106 @25 23: status 503 has two error pages",
            "P0103 @27: 600 is out of range for a status | from 200 to 599",
            "P0103 @28: the error page is not a file name",
        ],
    );
    let log = |to| AccessLogDraft {
        to: vec![at(24, to)],
        ..AccessLogDraft::default()
    };
    check(
        |d| d.listeners[0].access_log = Some(at(23, log(LogDestination::File(String::new())))),
        &["P0103 @24: the log is not a file name"],
    );
    let syslog = |length, tag: Option<&str>| {
        LogDestination::Syslog(Syslog {
            length: Some(length),
            tag: tag.map(str::to_owned),
            ..Syslog::new(SyslogAddress::Unix("/dev/log".into()))
        })
    };
    check(
        |d| d.listeners[0].access_log = Some(at(23, log(syslog(2048, Some("haproxy"))))),
        &[],
    );
    check(
        |d| d.listeners[0].access_log = Some(at(23, log(syslog(80, None)))),
        &[
            "warning P0105 @24: records in JSON that have more than 80 bytes are cut off here, and are no JSON then | take `length` out, or write at least 2048",
        ],
    );
    check(
        |d| {
            let counted = Syslog {
                framing: SyslogFraming::OctetCount,
                ..Syslog::new(SyslogAddress::Unix("/dev/log".into()))
            };
            d.listeners[0].access_log = Some(at(23, log(LogDestination::Syslog(counted))));
        },
        &[
            "P0105 @24: messages are counted in streams over TCP alone | write the address as `tcp@HOST:PORT`, or take `framing` out",
        ],
    );
    check(
        |d| d.listeners[0].access_log = Some(at(23, log(syslog(79, Some("a b"))))),
        &[
            "P0103 @24: 79 is out of range for the length of a syslog message | from 80 to 65535",
            "P0103 @24: `a b` is not a tag of syslog | printable ASCII characters without blanks are allowed",
        ],
    );
    check(
        |d| d.groups[0].log = vec![at(24, syslog(1024, Some("")))],
        &[
            "P0103 @24: `` is not a tag of syslog | printable ASCII characters without blanks are allowed",
        ],
    );
    let cookie = |name: &str, length| CaptureCookie {
        name: name.into(),
        prefix: false,
        length,
    };
    check(
        |d| d.listeners[0].capture_cookie = Some(at(23, cookie("a b", 0))),
        &[
            "P0103 @23: `a b` is not a cookie name | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            "P0103 @23: 0 is out of range for the length of a captured cookie",
        ],
    );
}

#[test]
fn answers_and_reach() {
    check(
        |d| d.listeners[0].rules.clear(),
        &[
            r#"P0104 @20: listener `in` has no rule that answers | add `forward = "…"` with the name of a target group"#,
        ],
    );
    check(
        |d| d.listeners[0].rules = vec![rule(70, Phase::Request, always(), vec![Action::Accept])],
        &[
            r#"P0104 @20: listener `in` has no rule that answers | add `forward = "…"` with the name of a target group"#,
        ],
    );
    check(
        |d| {
            tcp(d);
            d.listeners[0].rules.clear();
        },
        &[
            r#"P0104 @20: listener `in` has no rule that answers | add `forward = "…"` with the name of a target group"#,
        ],
    );
    check(
        |d| {
            d.listeners[0]
                .rules
                .push(rule(70, Phase::Request, always(), vec![forward("web")]))
        },
        &["warning P0203 @70 50: a rule of http listener `in` that never runs"],
    );
    check(
        |d| {
            d.listeners[0].rules.push(rule(
                70,
                Phase::Response,
                always(),
                vec![Action::SetLog(Some(LogLevel::Info))],
            ))
        },
        &[],
    );
    check(
        rule_first(Phase::Request, Action::SetLog(Some(LogLevel::Info))),
        &[],
    );
    check(
        |d| {
            tcp(d);
            d.listeners[0]
                .rules
                .push(rule(70, Phase::ClientHello, always(), vec![forward("web")]));
        },
        &["warning P0203 @70 50: a rule of tcp listener `in` that never runs"],
    );
    check(
        |d| {
            d.listeners[0].rules[0]
                .actions
                .push(Action::SetLog(Some(LogLevel::Info)));
        },
        &[
            "warning P0203 @50: a rule with actions after the one that ends its phase | put the action that ends the phase last",
        ],
    );
    check(
        |d| {
            d.listeners[0].rules.insert(
                0,
                rule(
                    70,
                    Phase::Request,
                    Condition::Not(Box::new(always())),
                    vec![Action::SetLog(Some(LogLevel::Info))],
                ),
            );
        },
        &["warning P0203 @70: a rule whose condition never holds"],
    );
    check(
        |d| d.listeners[0].rules[0].actions.clear(),
        &["P0104 @50: a rule that does nothing | add an action, such as `forward`"],
    );
}

#[test]
fn phases_of_actions() {
    use Phase::*;
    check(
        rule_first(Connection, forward("web")),
        &[
            "P0206 @70: forwarding is not possible in the connection phase | possible in: request phase",
        ],
    );
    check(
        rule_first(
            Response,
            Action::Authenticate {
                users: Some(at(72, Name::from("u"))),
                realm: String::new(),
            },
        ),
        &[
            "P0206 @70: asking for authorization is not possible in the response phase | possible in: request phase",
            "P0201 @72: there is no userlist `u` | no userlist is defined",
        ],
    );
    check(
        rule_first(AfterResponse, Action::Reject { silent: false }),
        &[
            "P0206 @70: closing the connection is not possible in the after-response phase | possible in: connection phase, session phase, client-hello phase, request phase, response phase",
        ],
    );
    check(
        rule_first(
            ClientHello,
            Action::SetHeader {
                name: "a".into(),
                value: Template::text("b"),
            },
        ),
        &[
            "P0206 @70: setting a header is not possible in the client-hello phase | possible in: request phase, response phase, after-response phase",
        ],
    );
    check(
        rule_first(Request, set_status(200)),
        &[
            "P0206 @70: changing the status is not possible in the request phase | possible in: response phase, after-response phase",
        ],
    );
    check(
        |d| {
            d.groups[0]
                .rules
                .push(rule(14, Request, always(), vec![forward("web")]))
        },
        &[
            "P0206 @14: forwarding is not possible in the request phase | nothing of http target group `web` can do it",
        ],
    );
    check(
        |d| {
            d.groups[0].rules.push(rule(
                14,
                Connection,
                always(),
                vec![Action::SetLog(Some(LogLevel::Info))],
            ))
        },
        &[
            "P0206 @14 10: http target group `web` has no connection phase | rules of a target group run in the client-hello, request, response and after-response phases; move it to a listener",
        ],
    );
    check(
        |d| {
            tcp(d);
            rule_first(
                ClientHello,
                Action::Respond(FixedResponse {
                    status: 200,
                    content_type: None,
                    body: AnswerBody::NONE,
                    headers: vec![],
                }),
            )(d);
        },
        &[
            "P0206 @70: an answer is not possible in the client-hello phase | nothing of tcp listener `in` can do it",
            "warning P0203 @70 50: a rule of tcp listener `in` that never runs",
        ],
    );
}

#[test]
fn arguments_of_actions() {
    use Phase::*;
    let redirect = |status, location: &str| Action::Redirect {
        location: Template::text(location),
        status,
    };
    check(
        |d| d.listeners[0].rules[0].actions = vec![redirect(304, "a\nb"), forward("web")],
        &[
            "P0103 @50: 304 is no redirect | 301, 302, 303, 307 or 308",
            r#"P0103 @50: a location may not hold `\n`"#,
            "warning P0203 @50: a rule with actions after the one that ends its phase | put the action that ends the phase last",
        ],
    );
    check(
        |d| d.listeners[0].rules[0].actions = vec![Action::Forward(vec![])],
        &["P0104 @50: a rule that forwards to no target group"],
    );
    check(
        |d| {
            d.listeners[0].rules[0].actions = vec![Action::Forward(vec![Weighted::new(
                at(51, Name::from("web")),
                0,
            )])]
        },
        &["P0103 @50: every weight is 0 | give at least one target group a weight of 1 or more"],
    );
    check(
        |d| {
            forward_to(d, "web");
            d.listeners[0].rules.insert(
                0,
                rule(
                    70,
                    Request,
                    test(71, Value::Path.into(), Matcher::Present),
                    vec![Action::Respond(FixedResponse {
                        status: 199,
                        content_type: Some("a\r".into()),
                        body: AnswerBody::Text(Template::text("a\r\nb")),
                        headers: vec![
                            ("b:".into(), Template::text("c")),
                            ("te".into(), Template::text("c\0")),
                        ],
                    })],
                ),
            );
        },
        &[
            "P0103 @70: 199 is out of range for a status | from 200 to 599",
            r#"P0103 @70: a content type may not hold `\r`"#,
            "P0103 @70: `b:` is not a header name | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
            "P0103 @70: a rule may not write the header `te` | it belongs to one connection, and Portway writes it as each side needs it",
            r#"P0103 @70: a header's value may not hold `\u{0}`"#,
        ],
    );
    check(
        |d| {
            d.listeners[0].rules.insert(
                0,
                rule(
                    70,
                    Request,
                    test(71, Value::Path.into(), Matcher::Present),
                    vec![Action::Tarpit {
                        delay: Duration::ZERO,
                        response: FixedResponse::error(600),
                    }],
                ),
            );
        },
        &[
            "P0103 @70: the delay is zero | give a time, such as `30s`",
            "P0103 @70: 600 is out of range for a status | from 200 to 599",
        ],
    );
    for name in [
        "Connection",
        "transfer-encoding",
        "Content-Length",
        "Upgrade",
        "Keep-Alive",
        "TE",
        "Trailer",
    ] {
        let message = format!(
            "P0103 @70: a rule may not write the header `{name}` | it belongs to one connection, and Portway writes it as each side needs it"
        );
        let value = Template::text("x");
        check(
            rule_first(
                Request,
                Action::SetHeader {
                    name: name.into(),
                    value: value.clone(),
                },
            ),
            &[&message],
        );
        check(
            rule_first(
                Response,
                Action::AddHeader {
                    name: name.into(),
                    value,
                },
            ),
            &[&message],
        );
    }
    for (name, why) in [
        ("Connection", None),
        ("transfer-encoding", None),
        ("Content-Length", Some("it says where the message ends")),
        (
            "host",
            Some("every request needs one; `set_header` replaces it"),
        ),
    ] {
        let message =
            why.map(|why| format!("P0103 @70: a rule may not remove the header `{name}` | {why}"));
        for phase in [Request, Response] {
            check(
                rule_first(phase, Action::RemoveHeader { name: name.into() }),
                message.as_deref().as_slice(),
            );
        }
    }
    check(
        rule_first(
            Request,
            Action::AddHeader {
                name: "Host".into(),
                value: Template::text("a"),
            },
        ),
        &[
            "P0103 @70: a rule may not add a second `Host` | a request has exactly one; `set_header` replaces it",
        ],
    );
    check(
        rule_first(
            Request,
            Action::SetHeader {
                name: "a".into(),
                value: Template::text("b\r\nc: d"),
            },
        ),
        &[r#"P0103 @70: a header's value may not hold `\r`"#],
    );
    check(
        rule_first(
            Request,
            Action::ReplaceHeader {
                name: "a".into(),
                pattern: at(72, "a{2,1}".into()),
                with: Template::text("\n"),
                elements: false,
            },
        ),
        &[
            r#"P0103 @70: a header's value may not hold `\n`"#,
            "P0209 @72: the regular expression `a{2,1}` does not compile | invalid repetition count range, the start must be <= the end",
        ],
    );
    check(
        rule_first(Request, Action::SetPath(Template::text("a b"))),
        &[
            "P0103 @70: a path may not hold ` `",
            "P0103 @70: a path does not begin with a slash",
        ],
    );
    check(
        rule_first(Request, Action::SetTarget(Template(vec![]))),
        &["P0103 @70: a path does not begin with a slash"],
    );
    check(
        rule_first(Request, Action::SetQuery(Template::text("a b"))),
        &["P0103 @70: a query may not hold ` `"],
    );
    check(
        rule_first(Request, Action::StripPrefix(vec![])),
        &["P0104 @70: no prefix to take off"],
    );
    check(
        rule_first(Request, Action::StripPrefix(vec!["a".into()])),
        &["P0103 @70: a prefix `a` does not begin with a slash | write `/a`"],
    );
    check(
        rule_first(Request, Action::AddPrefix(String::new())),
        &["P0103 @70: a prefix `` does not begin with a slash | write `/`"],
    );
    check(
        rule_first(
            Request,
            Action::ReplacePath {
                pattern: at(72, "a".into()),
                with: Template::text("\t"),
            },
        ),
        &[r#"P0103 @70: a path may not hold `\t`"#],
    );
    check(
        rule_first(Request, Action::SetMethod(Template::text(""))),
        &[
            "P0103 @70: `` is not a method | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
        ],
    );
    check(
        rule_first(Response, set_status(100)),
        &["P0103 @70: 100 is out of range for a status | from 200 to 599"],
    );
    check(
        rule_first(
            Request,
            Action::Increment {
                slot: 12,
                counter: Counter::Requests,
            },
        ),
        &[
            "P0103 @70: 12 is out of range for a slot | from 0 to 11",
            "P0103 @70: only general counters are raised by rules",
        ],
    );
    check(
        rule_first(
            Request,
            Action::Capture {
                value: Value::Path.into(),
                length: 0,
                slot: Some(256),
            },
        ),
        &[
            "P0103 @70: 0 is out of range for a length | from 1 to 65535",
            "P0103 @70: 256 is out of range for a slot | from 0 to 255",
        ],
    );
    check(
        |d| {
            let capture = Action::Capture {
                value: Value::Path.into(),
                length: 8,
                slot: None,
            };
            let always = Condition::All(Vec::new());
            d.groups[0].rules = vec![rule(70, Request, always, vec![capture])];
        },
        &[
            "P0104 @70: a capture of a target group without a slot | say into which slot of its listeners it goes: `slot = 0`",
        ],
    );
    check(
        rule_first(
            Request,
            Action::SetTimeout {
                which: TimeoutKind::Tunnel,
                to: NewTimeout::Fixed(Duration::ZERO),
            },
        ),
        &["P0103 @70: the timeout is zero | give a time, such as `30s`"],
    );
}

#[test]
fn variables() {
    use Phase::*;
    let variable = |scope, name: &str| Variable {
        scope,
        name: Name::from(name),
    };
    let set = |scope, name: &str| Action::SetVariable {
        variable: variable(scope, name),
        value: Template::text("x"),
    };
    check(rule_first(Connection, set(Scope::Connection, "a")), &[]);
    check(
        rule_first(Connection, set(Scope::Exchange, "a")),
        &[
            "warning P0206 @70: the variable `a` does not live in the connection phase | give it the scope of the connection",
        ],
    );
    check(
        rule_first(Request, set(Scope::Response, "a")),
        &[
            "warning P0206 @70: the variable `a` does not live in the request phase | give it the scope of the exchange",
        ],
    );
    check(
        rule_first(
            Response,
            Action::UnsetVariable(variable(Scope::Request, "a")),
        ),
        &[
            "warning P0206 @70: the variable `a` does not live in the response phase | give it the scope of the exchange",
        ],
    );
    check(
        rule_first(Request, set(Scope::Exchange, "a b")),
        &[
            "P0103 @70: `a b` names no variable | white space and control characters are not allowed",
        ],
    );
    check(
        test_first(
            Response,
            Value::Variable(variable(Scope::Request, "a")).into(),
            Matcher::Present,
        ),
        &[
            "warning P0206 @71: the variable `a` is gone in the response phase | give it the scope of the exchange",
        ],
    );
    check(
        test_first(
            Request,
            Value::Variable(variable(Scope::Response, "a")).into(),
            Matcher::Present,
        ),
        &[
            "warning P0206 @71: the variable `a` is not known in the request phase | it is known from the response phase on",
        ],
    );
}

#[test]
fn phases_of_values() {
    use Phase::*;
    let present = |phase, value: Value<N>| test_first(phase, value.into(), Matcher::Present);
    for (phase, value) in [
        (Connection, Value::Source),
        (Connection, Value::Tls),
        (Session, Value::Sni),
        (ClientHello, Value::HelloSni),
        (ClientHello, Value::Host),
        (Request, Value::HelloSni),
        (Request, Value::Sni),
        (Request, Value::Method),
        (Response, Value::Method),
        (Response, Value::Status),
        (AfterResponse, Value::TargetName),
        (AfterResponse, Value::ResponseHeader("a".into())),
    ] {
        check(present(phase, value), &[]);
    }
    check(
        present(Connection, Value::Method),
        &[
            "P0206 @71: the method is not known in the connection phase | it is known from the request phase on",
        ],
    );
    check(
        present(Session, Value::Host),
        &[
            "P0206 @71: the host is not known in the session phase | it is known from the request phase on",
        ],
    );
    check(
        present(Connection, Value::HelloSni),
        &[
            "P0206 @71: the server name of a ClientHello is not known in the connection phase | it is known from the client-hello phase on",
        ],
    );
    check(
        present(Request, Value::Status),
        &[
            "P0206 @71: the response's status is not known in the request phase | it is known from the response phase on",
        ],
    );
    check(
        present(Request, Value::TargetName),
        &[
            "P0206 @71: the chosen target is not known in the request phase | it is known from the response phase on",
        ],
    );
    check(
        present(Connection, Value::Log(LogValue::TotalTime)),
        &[
            "P0206 @71: a value of the access log is not known in the connection phase | it is known from the request phase on",
        ],
    );
    check(
        |d| {
            https(d);
            present(ClientHello, Value::Sni)(d);
        },
        &[],
    );
    check(
        |d| {
            https(d);
            present(ClientHello, Value::HelloSni)(d);
        },
        &[
            "warning P0210 @71: the server name of a ClientHello is not kept where TLS is terminated | take the server name or ALPN protocol of the connection instead",
        ],
    );
    let log = |value: Value<N>| {
        move |d: &mut Draft| {
            let template = Template(vec![TemplatePart::Expression(at(24, value.into()))]);
            d.listeners[0].access_log = Some(at(
                22,
                AccessLogDraft {
                    format: Some(at(23, LogFormat::Template(template))),
                    ..AccessLogDraft::default()
                },
            ));
        }
    };
    check(log(Value::Status), &[]);
    check(log(Value::Log(LogValue::TotalTime)), &[]);
    check(present(Request, Value::Log(LogValue::ClientAddress)), &[]);
    check(
        log(Value::Variable(Variable {
            scope: Scope::Request,
            name: "a".into(),
        })),
        &[
            "warning P0206 @24: the variable `a` is gone when the exchange ends | give it the scope of the exchange",
        ],
    );
    check(
        |d| d.groups[0].algorithm = Some(at(12, hash(Value::Status))),
        &[
            "P0206 @12: the response's status is not known in the request phase | it is known from the response phase on",
        ],
    );
    check(
        |d| {
            tcp(d);
            d.groups[0].algorithm = Some(at(12, hash(Value::Path)));
        },
        &[
            "P0206 @12: the path is not known in the client-hello phase | it is known from the request phase on",
        ],
    );
}

#[test]
fn comparisons() {
    let compare = |expression: Expression<N>, matcher: Matcher<N>| {
        test_first(Phase::Request, expression, matcher)
    };
    let text = || Matcher::Text {
        how: TextMatch::Exact,
        any_of: vec!["a".into()],
        ignore_case: false,
    };
    let number = || Matcher::Number {
        any_of: vec![NumberRange { min: 1, max: 2 }],
    };
    let network = || Matcher::Address {
        any_of: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let regex = |pattern: &str| Matcher::Regex {
        any_of: vec![at(72, pattern.into())],
    };
    let header = || Value::Header("a".into());
    for (value, matcher) in [
        (header(), text()),
        (header(), number()),
        (header(), network()),
        (header(), Matcher::True),
        (Value::Source, network()),
        (Value::BodyLength, number()),
        (Value::BodyLength, Matcher::True),
        (Value::Tls, Matcher::True),
        (Value::Tls, Matcher::Present),
        (Value::Method, text()),
        (
            Value::Variable(Variable {
                scope: Scope::Exchange,
                name: "a".into(),
            }),
            number(),
        ),
        (Value::Cookie("a".into()), regex("^a+$")),
    ] {
        check(compare(value.into(), matcher), &[]);
    }
    check(
        compare(Value::Source.into(), number()),
        &[
            "P0207 @71: the source address is an address and cannot be compared with a number | compare it with an address or a network",
        ],
    );
    check(
        compare(Value::Source.into(), text()),
        &[
            "P0207 @71: the source address is an address and cannot be compared with a text | compare it with an address or a network",
        ],
    );
    check(
        compare(Value::Source.into(), Matcher::True),
        &[
            "P0207 @71: the source address is an address and cannot be compared with true | compare it with a network",
        ],
    );
    check(
        compare(Value::BodyLength.into(), text()),
        &[
            "P0207 @71: the length of the request's body is a number and cannot be compared with a text | compare it with a number or a range of numbers",
        ],
    );
    check(
        compare(Value::BodyLength.into(), regex("a")),
        &[
            "P0207 @71: the length of the request's body is a number and cannot be compared with a regular expression | compare it with a number or a range of numbers",
        ],
    );
    check(
        compare(Value::BodyLength.into(), network()),
        &[
            "P0207 @71: the length of the request's body is a number and cannot be compared with a network | compare it with a number or a range of numbers",
        ],
    );
    check(
        compare(Value::Method.into(), number()),
        &[
            "P0207 @71: the method is a text and cannot be compared with a number | compare it with a text",
        ],
    );
    check(
        compare(Value::Tls.into(), text()),
        &[
            "P0207 @71: whether the client speaks TLS is true or false and cannot be compared with a text | it is true or false by itself",
        ],
    );
    check(
        compare(header().into(), regex("(a")),
        &["P0209 @72: the regular expression `(a` does not compile | unclosed group"],
    );
    check(
        compare(header().into(), regex("(?=a)")),
        &[
            "P0209 @72: the regular expression `(?=a)` does not compile | look-around, including look-ahead and look-behind, is not supported",
        ],
    );
    check(
        compare(header().into(), Matcher::Regex { any_of: vec![] }),
        &["P0104 @71: a comparison with nothing"],
    );
    check(
        compare(
            header().into(),
            Matcher::Number {
                any_of: vec![NumberRange { min: 2, max: 1 }],
            },
        ),
        &["P0103 @71: the range from 2 to 1 is empty | write 1-2"],
    );
    let with = |value: Value<N>, transforms: Vec<Transform<N>>| Expression { value, transforms };
    check(
        compare(with(Value::Path, vec![Transform::Length]), number()),
        &[],
    );
    check(
        compare(with(Value::BodyLength, vec![Transform::Lower]), text()),
        &[],
    );
    check(
        compare(with(Value::Path, vec![Transform::Length]), text()),
        &[
            "P0207 @71: what is made of the path is a number and cannot be compared with a text | compare it with a number or a range of numbers",
        ],
    );
    check(
        compare(
            with(
                Value::Source,
                vec![Transform::Calculate(Operation::Add, Operand::Number(1))],
            ),
            number(),
        ),
        &["P0207 @71: the source address gives an address where a number is needed"],
    );
    check(
        compare(with(Value::Method, vec![Transform::ADDRESS]), network()),
        &["P0207 @71: the method gives a text where an address is needed"],
    );
    check(
        compare(
            with(
                Value::BodyLength,
                vec![Transform::Calculate(Operation::Modulo, Operand::Number(0))],
            ),
            number(),
        ),
        &["P0103 @71: a division by zero | divide by another number"],
    );
    check(
        compare(
            with(
                Value::Path,
                vec![Transform::Field {
                    index: 0,
                    delimiters: "/".into(),
                    count: 1,
                }],
            ),
            text(),
        ),
        &["P0103 @71: there is no field 0 | count from 1, or from the end with -1"],
    );
    check(
        compare(
            with(
                Value::Path,
                vec![Transform::Word {
                    index: 1,
                    delimiters: String::new(),
                    count: 1,
                }],
            ),
            text(),
        ),
        &["P0103 @71: fields without a delimiter | say which characters are between fields"],
    );
    check(
        compare(with(Value::Body, vec![Transform::Json("a".into())]), text()),
        &["P0103 @71: a JSON path begins with `$` | write it like `$.a.b`"],
    );
    check(
        compare(Value::Random(0).into(), number()),
        &["P0103 @71: a random number below 0 | say a bound of at least 1"],
    );
    check(
        compare(Value::Environment("A=".into()).into(), text()),
        &["P0103 @71: `A=` names no environment variable"],
    );
    check(
        compare(Value::Header("a b".into()).into(), text()),
        &[
            "P0103 @71: `a b` is not a header name | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
        ],
    );
    check(
        compare(Value::Cookie(String::new()).into(), text()),
        &[
            "P0103 @71: `` is not the name of a cookie | letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them",
        ],
    );
    check(
        |d| {
            d.maps.push(map(60, "m", MapMatch::Address));
            d.maps[0].entries[0].0 = at(62, "10.0.0.0/8".into());
            compare(
                Value::Method.into(),
                Matcher::Listed {
                    list: at(73, Name::from("m")),
                },
            )(d);
        },
        &[
            "P0207 @71: the method is a text and cannot be compared with networks | take a list of texts",
        ],
    );
    check(
        |d| {
            d.maps.push(map(60, "m", MapMatch::Address));
            d.maps[0].entries[0].0 = at(62, "10.0.0.1".into());
            let look_up = Transform::Map {
                map: at(73, Name::from("m")),
                default: None,
            };
            compare(with(Value::BodyLength, vec![look_up]), text())(d);
        },
        &["P0207 @71: the length of the request's body gives a number where an address is needed"],
    );
}

#[test]
fn stick_tables_in_rules() {
    let tables = |d: &mut Draft| {
        d.stick_tables.push(table(60, "t", KeyType::Address));
    };
    check(
        |d| {
            tables(d);
            rule_first(Phase::Request, track("t", Value::Source.into()))(d);
        },
        &[],
    );
    check(
        |d| {
            tables(d);
            rule_first(Phase::Request, track("t", Value::SourcePort.into()))(d);
        },
        &[
            "P0207 @70 61: the source port is a number, and the keys of stick table `t` are addresses",
        ],
    );
    let stick = |phase| {
        move |d: &mut Draft| {
            d.stick_tables.push(table(60, "t", KeyType::Address));
            let stick = Action::Stick {
                to: StickTo::Both,
                key: Value::Source.into(),
                table: at(72, Name::from("t")),
            };
            d.groups[0]
                .rules
                .push(rule(14, phase, always(), vec![stick]));
        }
    };
    check(
        stick(Phase::Request),
        &["P0104 @72 60: stick table `t` remembers no targets | add \"target\" to what it stores"],
    );
    check(
        |d| {
            stick(Phase::Response)(d);
            d.stick_tables[0].store[0].value.counter = Counter::Target;
        },
        &[
            "P0206 @14: a target is chosen by a response | say `to = \"store\"`, or move the rule to the request phase",
        ],
    );
    check(
        |d| {
            d.stick_tables.push(table(60, "t", KeyType::Number));
            rule_first(Phase::Request, track("t", Value::Source.into()))(d);
        },
        &[
            "P0207 @70 61: the source address is an address, and the keys of stick table `t` are numbers",
        ],
    );
    let counter = |counter| Value::Counter {
        touch: Touch::Read,
        counter,
        of: CounterEntry::Key {
            table: at(72, Name::from("t")),
            key: Box::new(Value::Source.into()),
        },
    };
    let number = || Matcher::Number {
        any_of: vec![NumberRange { min: 1, max: 2 }],
    };
    check(
        |d| {
            tables(d);
            test_first(Phase::Request, counter(Counter::Requests).into(), number())(d);
        },
        &[],
    );
    check(
        |d| {
            tables(d);
            test_first(Phase::Request, counter(Counter::Errors).into(), number())(d);
        },
        &[
            "warning P0104 @71 60: stick table `t` does not store this counter, so it is always absent | add the counter to its `store`",
        ],
    );
    let tracked = Value::Counter {
        touch: Touch::Read,
        counter: Counter::Errors,
        of: CounterEntry::Tracked(12),
    };
    check(
        test_first(Phase::Request, tracked.into(), number()),
        &["P0103 @71: 12 is out of range for a slot | from 0 to 11"],
    );
}

/// Compares what is said of comparisons of `value` with texts.
fn check_texts(value: Value<N>, cases: &[(TextMatch, &str, bool, &[&str])]) {
    for (how, text, ignore_case, expected) in cases {
        let matcher = Matcher::Text {
            how: *how,
            any_of: vec![(*text).to_owned()],
            ignore_case: *ignore_case,
        };
        check(
            test_first(Phase::Request, value.clone().into(), matcher),
            expected,
        );
    }
}

#[test]
fn hosts_that_never_come() {
    use TextMatch::*;
    check_texts(
        Value::Host,
        &[
            (Exact, "a.test", false, &[]),
            (Exact, "a.test.", false, &[]),
            (Exact, "UPPER.test", true, &[]),
            (Exact, "[::1]", false, &[]),
            (Prefix, "[", false, &[]),
            (Prefix, "2001:db8::1", false, &[]),
            (Contains, "db8::", false, &[]),
            (Glob, "*.test", true, &[]),
            (Glob, "[2001:*]", true, &[]),
            (Exact, "", false, &[]),
            (
                Exact,
                "a.test:7094",
                true,
                &[
                    "warning P0210 @71: the host has no port, so it is never `a.test:7094` | write `a.test`",
                ],
            ),
            (
                Glob,
                "*.test:*",
                true,
                &[
                    "warning P0210 @71: the host has no port, so it is never `*.test:*` | write `*.test`",
                ],
            ),
            (
                Suffix,
                ":80",
                false,
                &[
                    "warning P0210 @71: the host has no port, so it is never `:80` | write the name alone; `destination_port` is the port that the client connected to",
                ],
            ),
            (
                Exact,
                "[::1]:80",
                false,
                &[
                    "warning P0210 @71: the host has no port, so it is never `[::1]:80` | write `[::1]`",
                ],
            ),
            (
                Exact,
                "::1",
                false,
                &[
                    "warning P0210 @71: the host is never `::1`: an IPv6 address stands in brackets there | write `[::1]`",
                ],
            ),
            (
                Exact,
                "http://x.test",
                true,
                &[
                    "warning P0210 @71: `http://x.test` is a URL, which the host never is | write `x.test`",
                ],
            ),
            (
                Prefix,
                "https://x.test:80/a",
                true,
                &[
                    "warning P0210 @71: `https://x.test:80/a` is a URL, which the host never is | write `x.test`",
                ],
            ),
            (
                Exact,
                "x.test/a",
                true,
                &[
                    "warning P0210 @71: `x.test/a` is not within a host | a host has no path: compare `path` too",
                ],
            ),
            (
                Exact,
                "a.test ",
                true,
                &["warning P0210 @71: `a.test ` is not within a host | a host has no white space"],
            ),
            (
                Exact,
                "UPPER.test",
                false,
                &[
                    "warning P0210 @71: the host is in lower case, so it is never `UPPER.test` | write `upper.test`",
                ],
            ),
        ],
    );
}

#[test]
fn paths_that_never_come() {
    use TextMatch::*;
    check_texts(
        Value::Path,
        &[
            (Exact, "/a", false, &[]),
            (Exact, "*", false, &[]),
            (Prefix, "", false, &[]),
            (Prefix, "/", false, &[]),
            (Suffix, ".css", false, &[]),
            (Contains, "a", false, &[]),
            (Segment, "a/b", false, &[]),
            (Glob, "*.css", false, &[]),
            (Glob, "/a?b", false, &[]),
            (
                Exact,
                "noslash",
                false,
                &[
                    "warning P0210 @71: the path begins with a slash, so it never is `noslash` | write `/noslash`",
                ],
            ),
            (
                Prefix,
                "api",
                false,
                &[
                    "warning P0210 @71: the path begins with a slash, so it never begins with `api` | write `/api`",
                ],
            ),
            (
                Glob,
                "api/*",
                false,
                &[
                    "warning P0210 @71: the path begins with a slash, so it never is `api/*` | write `/api/*`",
                ],
            ),
            (
                Exact,
                "http://a.test/b",
                false,
                &[
                    "warning P0210 @71: `http://a.test/b` is a URL, which the path never is | compare `host` with the name and `path` with what follows it",
                ],
            ),
            (
                Exact,
                "/a?b=c",
                false,
                &[
                    "warning P0210 @71: the path has no query, so `/a?b=c` is never in it | write `/a`, and compare the query with `Query`, or `target` for both",
                ],
            ),
            (
                Contains,
                "?b=c",
                false,
                &[
                    "warning P0210 @71: the path has no query, so `?b=c` is never in it | compare `query`, or `target` for path and query",
                ],
            ),
        ],
    );
    check_texts(
        Value::Target,
        &[
            (Exact, "/a?b=c", false, &[]),
            (
                Prefix,
                "a?b",
                false,
                &[
                    "warning P0210 @71: `target` begins with a slash, so it never begins with `a?b` | write `/a?b`",
                ],
            ),
        ],
    );
}

#[test]
fn words_that_never_come() {
    use TextMatch::*;
    check_texts(
        Value::Method,
        &[
            (Exact, "GET", false, &[]),
            (Exact, "get", true, &[]),
            (Exact, "purge", false, &[]),
            (
                Exact,
                "get",
                false,
                &["warning P0210 @71: methods are in upper case, so none is `get` | write `GET`"],
            ),
            (
                Exact,
                "GET, POST",
                false,
                &[
                    "warning P0210 @71: `GET, POST` is not a method | a method is one word, such as `GET`; a list means one of",
                ],
            ),
        ],
    );
    check_texts(
        Value::Scheme,
        &[
            (Exact, "https", false, &[]),
            (
                Exact,
                "HTTPS",
                false,
                &["warning P0210 @71: the scheme is never `HTTPS` | one of `http`, `https`"],
            ),
        ],
    );
    check_texts(
        Value::HttpVersion,
        &[
            (Exact, "1.1", false, &[]),
            (
                Exact,
                "HTTP/1.1",
                false,
                &[
                    "warning P0210 @71: the HTTP version is never `HTTP/1.1` | one of `1.0`, `1.1`, `2.0`, `3.0`",
                ],
            ),
        ],
    );
    // Something was done to it, or it may hold anything.
    let lower = Expression {
        value: Value::Path,
        transforms: vec![Transform::Lower],
    };
    let api = Matcher::Text {
        how: Prefix,
        any_of: vec!["api".into()],
        ignore_case: false,
    };
    check(test_first(Phase::Request, lower, api.clone()), &[]);
    check(test_first(Phase::Request, Value::Query.into(), api), &[]);
}

#[test]
fn numbers_that_never_come() {
    let cases: [(Value<N>, i64, i64, &[&str]); 9] = [
        (Value::Status, 200, 200, &[]),
        (Value::Status, 500, i64::MAX, &[]),
        (Value::Status, i64::MIN, 399, &[]),
        (
            Value::Status,
            50,
            50,
            &["warning P0210 @71: the status is never 50 | it is from 100 to 599"],
        ),
        (
            Value::Status,
            600,
            i64::MAX,
            &["warning P0210 @71: the status is never 600 or more | it is from 100 to 599"],
        ),
        (
            Value::Status,
            i64::MIN,
            99,
            &["warning P0210 @71: the status is never at most 99 | it is from 100 to 599"],
        ),
        (
            Value::Status,
            600,
            700,
            &["warning P0210 @71: the status is never from 600 to 700 | it is from 100 to 599"],
        ),
        (Value::DestinationPort, 443, 443, &[]),
        (
            Value::DestinationPort,
            80_443,
            80_443,
            &["warning P0210 @71: the destination port is never 80443 | it is from 0 to 65535"],
        ),
    ];
    for (value, min, max, expected) in cases {
        let matcher = Matcher::Number {
            any_of: vec![NumberRange { min, max }],
        };
        check(test_first(Phase::Response, value.into(), matcher), expected);
    }
}

#[test]
fn sockets_and_the_proxy_protocol() {
    let unix = |change: fn(&mut UnixSocket)| {
        move |d: &mut Draft| {
            let mut socket = UnixSocket::at("/run/a");
            change(&mut socket);
            d.listeners[0].binds = vec![at(21, BindAddress::Unix(socket))];
        }
    };
    check(unix(|s| s.mode = Some(FileMode(0o660))), &[]);
    check(
        unix(|s| s.mode = Some(FileMode(0o1777))),
        &["P0103 @21: the mode of a socket is at most 777"],
    );
    check(
        unix(|s| s.user = Some(String::new())),
        &["P0103 @21: the owner of the socket has no name"],
    );
    check(
        unix(|s| {
            s.path = "@a".into();
            s.mode = Some(FileMode(0));
        }),
        &["P0103 @21: an abstract socket has neither mode nor owner"],
    );
    check(
        |d| {
            let socket = &mut d.listeners[0].socket;
            socket.interface = Some(at(22, "a b".into()));
            socket.backlog = Some(at(23, 0));
        },
        &[
            "P0103 @22: `a b` names no network interface | `ip link` lists those of this machine",
            "P0103 @23: 0 is out of range for a backlog | from 1 to 1000000",
        ],
    );
    let send = |version: ProxyProtocol, parts: &[ProxyPart]| {
        let parts = parts.to_vec();
        move |d: &mut Draft| {
            let proxy = SendProxy {
                parts,
                ..version.into()
            };
            d.groups[0].send_proxy = Some(at(12, proxy));
        }
    };
    check(send(ProxyProtocol::V2, &[ProxyPart::Tls]), &[]);
    check(
        send(ProxyProtocol::V2, &[ProxyPart::Alpn, ProxyPart::Cipher]),
        &[
            "warning P0205 @12: what is told of the client's TLS is part of `tls`, which is not told | name `tls` among the parts too",
        ],
    );
    check(
        send(ProxyProtocol::V1, &[ProxyPart::Tls]),
        &["P0105 @12: version 1 of the PROXY protocol tells the addresses alone"],
    );
    check(
        send(ProxyProtocol::V2, &[ProxyPart::Alpn, ProxyPart::Alpn]),
        &["P0105 @12: a part of the PROXY protocol is named twice"],
    );
    let pass_on = |version: ProxyProtocol, pass_on: PassOn| {
        move |d: &mut Draft| {
            let proxy = SendProxy {
                pass_on,
                ..version.into()
            };
            d.groups[0].send_proxy = Some(at(12, proxy));
        }
    };
    check(pass_on(ProxyProtocol::V2, PassOn::All), &[]);
    check(
        pass_on(ProxyProtocol::V1, PassOn::All),
        &["P0105 @12: version 1 of the PROXY protocol tells the addresses alone"],
    );
    check(
        pass_on(ProxyProtocol::V2, PassOn::Types(vec![0xEA, 3])),
        &["P0105 @12: a checksum (3) and padding (4) belong to the header that they stand in"],
    );
}

#[test]
fn attributes_and_blocks() {
    let part = |attribute: &str, occurrence| {
        CertificateField::SubjectPart(NamePart {
            attribute: attribute.into(),
            occurrence,
        })
    };
    let present = |value: Value<N>| test_first(Phase::Session, value.into(), Matcher::Present);
    check(present(Value::ShownCertificate(part("CN", -1))), &[]);
    for wrong in [part("CN", 0), part("", 1), part("a b", 1)] {
        check(
            present(Value::ShownCertificate(wrong)),
            &[
                "P0103 @71: no attribute of a name | say its short name, such as `CN`, and which of several, from 1 or -1",
            ],
        );
    }
    let block = |length_bytes| Value::PayloadBlock {
        length_at: 0,
        length_bytes,
        at: 2,
    };
    let present = |value: Value<N>| test_first(Phase::ClientHello, value.into(), Matcher::Present);
    check(present(block(2)), &[]);
    check(
        present(block(5)),
        &["P0103 @71: 5 is out of range for a length | from 1 to 4"],
    );
}

#[test]
fn limits_of_requests() {
    let limited = |phase, limit| rule_first(phase, Action::Limit(limit));
    let body = |request, response| Limit::Body { request, response };
    let rate = |average, burst| Limit::Rate {
        name: Name::from("r"),
        key: Value::Source.into(),
        average,
        period: Duration::ZERO,
        burst,
    };
    check(limited(Phase::Request, body(Some(1), None)), &[]);
    check(
        limited(Phase::Request, body(None, None)),
        &["P0104 @70: a limit of no body"],
    );
    check(
        limited(Phase::Request, body(Some(0), None)),
        &["P0103 @70: 0 is out of range for a body's limit | from 1 to 1152921504606846976"],
    );
    check(
        limited(Phase::Response, body(Some(1), None)),
        &[
            "P0206 @70: a limit of bodies is not possible in the response phase | possible in: request phase",
        ],
    );
    let at_once = |phase| {
        let (name, key) = (Name::from("c"), Value::Source.into());
        limited(
            phase,
            Limit::Concurrency {
                name,
                key,
                amount: 1,
            },
        )
    };
    check(at_once(Phase::Connection), &[]);
    check(at_once(Phase::Session), &[]);
    check(
        limited(Phase::Connection, body(Some(1), None)),
        &[
            "P0206 @70: a limit of bodies is not possible in the connection phase | possible in: request phase",
        ],
    );
    let demanded = |request| MinRate {
        request,
        ..MinRate::default()
    };
    check(|d| d.listeners[0].min_rate = Some(at(80, demanded(1))), &[]);
    check(
        |d| d.listeners[0].min_rate = Some(at(80, demanded(0))),
        &[
            "P0103 @80: this demands no rate | give `request`, `response` or both in bytes a second, or leave `min_rate` out",
        ],
    );
    let probed = |idle: Duration, count| {
        at(
            80,
            TcpKeepAlive::All(KeepAliveTimes {
                idle: Some(idle),
                interval: None,
                count: Some(count),
            }),
        )
    };
    check(
        |d| d.groups[0].tcp.keep_alive = Some(probed(Duration::from_secs(32_767), 127)),
        &[],
    );
    check(
        |d| d.listeners[0].socket.tcp.keep_alive = Some(probed(Duration::from_millis(1500), 128)),
        &[
            "P0103 @80: the time before the first probe is not of whole seconds, or too long | from `1s` to `32767s`",
            "P0103 @80: 128 is out of range for a number of probes | from 1 to 127",
        ],
    );
    check(
        |d| d.groups[0].tcp.user_timeout = Some(at(80, Duration::ZERO)),
        &["P0103 @80: the time to be acknowledged is zero | give a time, such as `30s`"],
    );
    check(
        limited(Phase::Request, rate(0, 0)),
        &[
            "P0103 @70: `period` is zero | give a time, such as `30s`",
            "P0103 @70: 0 is out of range for `average` | from 1 to 1000000000",
            "P0103 @70: 0 is out of range for `burst` | from 1 to 1000000000",
        ],
    );
}

#[test]
fn requests_that_are_made_again() {
    let page = |answer_as| {
        let page = PageFrom {
            status: vec![NumberRange { min: 500, max: 504 }],
            forward: vec![Weighted::new(at(51, Name::from("web")), 1)],
            target: None,
            headers: None,
            answer_as,
        };
        rule_first(Phase::Request, Action::PageFrom(Arc::new(vec![page])))
    };
    check(page(None), &[]);
    check(
        page(Some(500)),
        &[
            "P0105 @70: a request that is made again has its own headers and its own status | take `headers` and `answer_as` out",
        ],
    );
}

#[test]
fn what_no_client_can_tell() {
    let present = |value: Value<N>| test_first(Phase::Request, value.into(), Matcher::Present);
    let certificate = || Value::ClientCertificate(CertificateField::Serial);
    let absent = "warning P0104 @71: no client is asked for a certificate here: what this says of one is always absent | ask for it: `client_auth` in the `tls` of the listener (HAProxy: `verify` of the `bind` line; Traefik: `clientAuth` of the options of TLS)";
    check(present(certificate()), &[absent]);
    let asked = |d: &mut Draft| {
        https(d);
        d.listeners[0].tls.clients.auth = Some(at(28, ClientAuth::Optional));
        d.listeners[0].tls.clients.ca = vec![at(29, "ca.pem".to_owned())];
    };
    check(
        |d| {
            present(certificate())(d);
            asked(d);
        },
        &[],
    );
    // One text for two listeners: one of them asks.
    check(
        |d| {
            present(certificate())(d);
            let mut other = d.listeners[0].clone();
            other.name = at(90, Name::from("other"));
            other.binds = listener(91, "other", 81, "web").binds;
            asked(d);
            d.listeners.push(other);
        },
        &[],
    );
    let proxied = || Value::Proxied(ProxyField::Authority);
    check(
        present(proxied()),
        &[
            "warning P0104 @71: no header of the PROXY protocol is expected here: what this says of one is always absent | set `accept_proxy` of the listener (HAProxy: `accept-proxy` of the `bind` line)",
        ],
    );
    check(
        |d| {
            present(proxied())(d);
            d.listeners[0].accept_proxy = Some(at(28, true));
        },
        &[],
    );
    check(
        |d| {
            present(proxied())(d);
            let expect = Action::ExpectProxy(ProxyHeader::Required);
            let expects = rule(95, Phase::Connection, always(), vec![expect]);
            d.listeners[0].rules.insert(0, expects);
        },
        &[],
    );
}

#[test]
fn streams_that_are_routed_go_through_rules_of_the_session() {
    let first = |phase, actions: fn() -> Action<N>| {
        move |d: &mut Draft| {
            tcp(d);
            let later = rule(96, phase, always(), vec![actions()]);
            d.listeners[0].rules.push(later);
        }
    };
    let over = |place: &str| {
        format!("warning P0203 @{place}: a rule of tcp listener `in` that never runs")
    };
    let reject = || Action::Reject { silent: false };
    check(first(Phase::Session, reject), &[]);
    check(first(Phase::ClientHello, reject), &[&over("96 50")]);
    check(first(Phase::Session, || forward("web")), &[&over("96 50")]);
}
