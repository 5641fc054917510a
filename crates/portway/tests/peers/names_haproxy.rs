//! A section `resolvers` at work: HAProxy and Portway on the same file, beside each other, at the same server of names.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use portway_testkit::names::{NameServer, Says};

use crate::control_changes::Both;
use crate::echo::Echo;
use crate::names::same_port;
use crate::stage::{Client, Stage, server};
use crate::support::{Scene, eventually, free_port};

/// Servers of a template, which share the addresses of a name, and one that has the first of another.
fn text(web: u16, port: u16, server: &NameServer) -> String {
    format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 20s\n  timeout server 20s\n\
         resolvers names\n  nameserver one {}\n  resolve_retries 2\n  timeout resolve 300ms\n  timeout retry 200ms\n\
         \x20 hold nx 1s\n  hold other 1h\n  hold timeout 1h\n  hold refused 1h\n\
         frontend web\n  bind 127.0.0.1:{web}\n  use_backend single if {{ path /single }}\n  use_backend service if {{ path /service }}\n  use_backend near if {{ path /near }}\n  default_backend app\n\
         backend app\n  balance roundrobin\n\
         \x20 server-template s 1-3 app.test:{port} check inter 200ms fall 1 rise 1 resolvers names resolve-prefer ipv4 init-addr none\n\
         backend single\n\
         \x20 server one single.test:{port} resolvers names resolve-opts allow-dup-ip resolve-prefer ipv4 init-addr none\n\
         backend near\n\
         \x20 server one near.test:{port} resolvers names resolve-opts allow-dup-ip resolve-prefer ipv4 resolve-net 10.0.0.0/8,127.0.0.4/31 init-addr none\n\
         backend service\n  balance roundrobin\n\
         \x20 server-template v 1-3 _http._tcp.app.test resolvers names resolve-opts ignore-weight resolve-prefer ipv4 init-addr none check inter 200ms fall 1 rise 1\n",
        server.address()
    )
}

/// Who answers on this path, among a dozen clients; a status where nobody does.
fn who(web: u16, path: &str) -> BTreeSet<String> {
    let one = |_| {
        let head = Client::new(web).ask_with(path, "");
        let status = || head.split(' ').nth(1).unwrap_or_default();
        server(&head).unwrap_or_else(status).to_owned()
    };
    (0..12).map(one).collect()
}

#[test]
fn servers_come_and_go_by_name_as_with_haproxy() {
    let (port, server) = (same_port(), NameServer::start());
    for (last, name) in [(2, "two"), (3, "three"), (4, "four"), (5, "five")] {
        Echo::start_at(Ipv4Addr::new(127, 0, 0, last), port, name);
    }
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    server.say_addresses("single.test", &["127.0.0.5"]);
    server.say_addresses("near.test", &["127.0.0.2", "127.0.0.3", "127.0.0.5"]);
    let (scene, theirs, ours) = (Scene::new(), free_port(), free_port());
    scene.file("theirs.cfg", text(theirs, port, &server));
    scene.file("ours.cfg", text(ours, port, &server));
    let haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    let portway = scene.portway_with(&["ours.cfg"]);
    let both = |path: &str, expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        for (program, web) in [("haproxy", theirs), ("portway", ours)] {
            eventually(
                format_args!("{expected:?} serve {path} of {program}"),
                || (who(web, path) == expected).then_some(()),
            );
        }
    };
    both("/app", &["two", "three"]);
    both("/single", &["five"]);
    // One of a network that is preferred, wherever it stands, while there is one; the one in use stays.
    both("/near", &["five"]);
    server.say_addresses("near.test", &["127.0.0.2"]);
    both("/near", &["two"]);
    server.say_addresses("near.test", &["127.0.0.3", "127.0.0.4"]);
    both("/near", &["four"]);
    let host = |name: &str| (1, 1, port, name.to_owned());
    let service = "_http._tcp.app.test";
    server.say_addresses("a.test", &["127.0.0.2"]);
    server.say_addresses("b.test", &["127.0.0.3"]);
    server.say(
        service,
        Says::Services(vec![host("a.test"), host("b.test")], 1),
    );
    both("/service", &["two", "three"]);
    server.say(service, Says::Services(vec![host("b.test")], 1));
    both("/service", &["three"]);
    server.say_addresses("app.test", &["127.0.0.4", "127.0.0.3", "127.0.0.2"]);
    both("/app", &["two", "three", "four"]);
    // There are more addresses than servers.
    server.say_addresses(
        "app.test",
        &["127.0.0.4", "127.0.0.3", "127.0.0.2", "127.0.0.5"],
    );
    both("/app", &["two", "three", "four"]);
    server.say_addresses("app.test", &["127.0.0.4", "127.0.0.3"]);
    both("/app", &["three", "four"]);
    // Who is silent or fails takes nobody away.
    for says in [Says::Silence, Says::Status(2), Says::Status(5)] {
        server.say("app.test", says);
        let asked = server.asked("app.test");
        eventually("it is asked again", || {
            (server.asked("app.test") > asked + 6).then_some(())
        });
        both("/app", &["three", "four"]);
    }
    // A name that is gone does, after its time.
    server.say("app.test", Says::Missing(1));
    both("/app", &["503"]);
    both("/single", &["five"]);
    server.say_addresses("app.test", &["127.0.0.5"]);
    both("/app", &["five"]);
    drop(haproxy);
    portway.stop();
}

#[test]
fn orders_do_not_give_servers_an_address_as_with_haproxy() {
    let (port, server) = (same_port(), NameServer::start());
    Echo::start_at(Ipv4Addr::new(127, 0, 0, 2), port, "two");
    server.say("late.test", Says::Missing(1));
    server.say_addresses("rests.test", &["127.0.0.2"]);
    let both = Both::new(Scene::new(), |web, _| {
        format!(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 20s\n  timeout server 20s\n\
             resolvers names\n  nameserver one {}\n  timeout resolve 200ms\n  timeout retry 200ms\n  hold valid 200ms\n\
             frontend web\n  bind 127.0.0.1:{web}\n  use_backend rests if {{ path /rests }}\n  default_backend late\n\
             backend late\n  server s late.test:{port} resolvers names resolve-prefer ipv4 init-addr none\n\
             backend rests\n  server s rests.test:{port} resolvers names resolve-prefer ipv4 init-addr none disabled\n",
            server.address()
        )
    });
    let answers = |path: &str, expected: &str| {
        let expected = BTreeSet::from([expected.to_owned()]);
        for web in both.ports {
            eventually(format_args!("{expected:?} at {path} of {web}"), || {
                (who(web, path) == expected).then_some(())
            });
        }
    };
    answers("/", "503");
    for state in ["maint", "ready", "drain", "ready"] {
        both.same(&format!("set server late/s state {state}"));
        answers("/", "503");
    }
    answers("/rests", "503");
    both.same("enable server rests/s");
    answers("/rests", "two");
    server.say_addresses("late.test", &["127.0.0.2"]);
    answers("/", "two");
}

#[test]
fn addresses_of_servers_that_are_gone_are_free_for_those_that_come() {
    let (port, web, server) = (same_port(), free_port(), NameServer::start());
    for (last, name) in [(2, "two"), (3, "three")] {
        Echo::start_at(Ipv4Addr::new(127, 0, 0, last), port, name);
    }
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    let text = |prefix: &str| {
        format!(
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n\
             resolvers names\n  nameserver one {}\n  timeout resolve 300ms\n  timeout retry 200ms\n\
             listen app\n  bind 127.0.0.1:{web}\n  balance roundrobin\n\
             \x20 server-template {prefix} 1-2 app.test:{port} resolvers names resolve-prefer ipv4 init-addr none\n",
            server.address()
        )
    };
    let stage = Stage::of_file(Scene::new(), "haproxy.cfg", &text("s"), &[]);
    let all = BTreeSet::from(["two", "three"].map(str::to_owned));
    // They keep those that they are connected to.
    let mut stay = [(); 2].map(|()| Client::new(web));
    let stay_with = |stay: &mut [Client; 2]| -> BTreeSet<String> {
        stay.iter_mut().map(|it| it.ask("/")).collect()
    };
    assert_eq!(stay_with(&mut stay), all);
    for prefix in ["t", "u"] {
        stage.becomes(&text(prefix));
        assert_eq!(who(web, "/"), all, "{prefix}");
        assert_eq!(stay_with(&mut stay), all);
    }
    stage.portway.stop();
}
