//! Names against a scripted server.

use std::net::SocketAddr;
use std::time::Duration;

use portway_dataplane::live::Health;
use portway_model::resolution::Hold;
use portway_testkit::names::{NameServer, Says};

use super::*;

/// Who asks these servers, and gives up soon.
fn resolver(servers: &[SocketAddr]) -> Resolver {
    Resolver {
        nameservers: servers.to_vec(),
        attempts: Some(2),
        timeout: Some(Duration::from_millis(300)),
        max_ttl: Duration::from_secs(1),
        ..Resolver::default()
    }
}

fn at(name: &str) -> Named<'_> {
    Named {
        name,
        port: Some(80),
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|it| it.parse().unwrap()).collect()
}

/// What the first look-up finds.
async fn first(resolver: Resolver, name: &str) -> Answer {
    let asked = NameBook::default().ask(at(name), &Arc::new(resolver));
    asked.heard().await;
    asked.answer()
}

#[tokio::test]
async fn what_is_said_counts_and_lies_do_not() {
    let server = NameServer::start();
    let two = || ips(&["127.0.0.2", "127.0.0.3"]);
    server.say("plain.test", Says::Addresses(two(), 60));
    server.say("alias.test", Says::Alias("plain.test".to_owned(), 60));
    server.say("large.test", Says::OverTcp(two(), 60));
    server.say("lies.test", Says::LiesFirst(two(), 60));
    server.say("none.test", Says::Addresses(Vec::new(), 60));
    server.say("silent.test", Says::Silence);
    server.say("junk.test", Says::Junk);
    server.say("broken.test", Says::Status(2));
    server.say("refused.test", Says::Status(5));
    server.say("old.test", Says::Status(1));
    for name in [
        "plain.test",
        "alias.test",
        "large.test",
        "lies.test",
        "PLAIN.test.",
    ] {
        let answer = first(resolver(&[server.address()]), name).await;
        assert_eq!((answer.addresses, answer.why), (two(), None), "{name}");
    }
    for (name, why) in [
        ("none.test", "it has no address"),
        ("unknown.test", "there is no such name"),
        ("no such name", "there is no such name"),
        ("silent.test", "no server of names answers in time"),
        ("junk.test", "servers of names fail"),
        ("broken.test", "servers of names fail"),
        ("old.test", "servers of names fail"),
        ("refused.test", "servers of names refuse to answer"),
    ] {
        let answer = first(resolver(&[server.address()]), name).await;
        assert_eq!(
            (answer.addresses, answer.why),
            (vec![], Some(why)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn another_server_knows_it_where_the_first_does_not() {
    let (first_one, second) = (NameServer::start(), NameServer::start());
    second.say_addresses("app.test", &["127.0.0.2"]);
    let servers = [first_one.address(), second.address()];
    for says in [Says::Silence, Says::Status(2), Says::Status(5), Says::Junk] {
        first_one.say("app.test", says.clone());
        let answer = first(resolver(&servers), "app.test").await;
        assert_eq!(answer.addresses, ips(&["127.0.0.2"]), "{says:?}");
    }
    // Who says that there is none knows it.
    first_one.say("app.test", Says::Missing(60));
    let answer = first(resolver(&servers), "app.test").await;
    assert_eq!(answer.why, Some("there is no such name"));
}

/// Waits for what a name has.
async fn until(asked: &Asked, is: impl Fn(&Answer) -> bool) -> Answer {
    let mut news = asked.follow();
    let found = tokio::time::timeout(Duration::from_secs(20), news.wait_for(|it| is(it))).await;
    found.expect("in time").expect("it is asked for").clone()
}

#[tokio::test]
async fn answers_are_asked_for_again_and_the_last_good_one_holds() {
    let (server, names) = (NameServer::start(), NameBook::default());
    server.say_addresses("app.test", &["127.0.0.2"]);
    let asks = Arc::new(resolver(&[server.address()]));
    let asked = names.ask(at("app.test"), &asks);
    let same = names.ask(at("app.test"), &asks);
    assert!(Arc::ptr_eq(&asked, &same));
    until(&asked, |it| it.addresses == ips(&["127.0.0.2"])).await;
    server.say_addresses("app.test", &["127.0.0.3", "127.0.0.2"]);
    until(&asked, |it| it.addresses.len() == 2).await;
    for says in [Says::Missing(1), Says::Silence, Says::Status(2), Says::Junk] {
        server.say("app.test", says.clone());
        let lost = until(&asked, |it| it.why.is_some()).await;
        assert_eq!(lost.addresses.len(), 2, "{says:?}");
        assert!(!lost.is_lost, "{says:?}");
        server.say_addresses("app.test", &["127.0.0.3", "127.0.0.2"]);
        until(&asked, |it| it.why.is_none()).await;
    }
    let figures = names.figures();
    for result in [
        NameResult::Found,
        NameResult::Nothing,
        NameResult::Timeout,
        NameResult::Failed,
    ] {
        assert!(figures.results[result as usize] > 0, "{result:?}");
    }
    // Nobody asks for it any more.
    drop((asked, same));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = server.asked("app.test");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(server.asked("app.test"), before);
}

#[tokio::test]
async fn an_answer_is_lost_when_its_time_to_hold_is_over() {
    let (server, names) = (NameServer::start(), NameBook::default());
    server.say_addresses("app.test", &["127.0.0.2"]);
    let asks = Resolver {
        hold: Hold {
            missing: Some(Duration::from_millis(1200)),
            ..Hold::default()
        },
        ..resolver(&[server.address()])
    };
    let asked = names.ask(at("app.test"), &Arc::new(asks));
    until(&asked, |it| !it.addresses.is_empty()).await;
    server.say("app.test", Says::Missing(1));
    let lost = until(&asked, |it| it.addresses.is_empty()).await;
    assert!(lost.is_lost);
}

#[tokio::test]
async fn targets_that_share_none_have_an_address_each() {
    let (server, names) = (NameServer::start(), NameBook::default());
    server.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    let asked = names.ask(at("app.test"), &Arc::new(resolver(&[server.address()])));
    asked.heard().await;
    let of = |take: Take| Resolution {
        take,
        ..Resolution::default()
    };
    let target = || Arc::new(TargetState::new(Health::Initial, None));
    let (a, b, c) = (target(), target(), target());
    let choose = |target: &Arc<TargetState>, take: Take| {
        let at = asked.choose("group", target, &of(take), Some(80));
        target.set_address(at);
        at.map(|at| at.ip().to_string()).unwrap_or_default()
    };
    assert_eq!(choose(&a, Take::Distinct), "127.0.0.2");
    assert_eq!(choose(&b, Take::Distinct), "127.0.0.3");
    assert_eq!(choose(&c, Take::Distinct), "");
    assert_eq!(choose(&c, Take::First), "127.0.0.2");
    // Another group has targets of its own.
    assert_eq!(
        asked.choose("other", &target(), &of(Take::Distinct), Some(80)),
        Some("127.0.0.2:80".parse().unwrap())
    );
    // The first is gone, and another address came: who has one keeps it.
    server.say_addresses("app.test", &["127.0.0.4", "127.0.0.3"]);
    until(&asked, |it| it.addresses.contains(&ips(&["127.0.0.4"])[0])).await;
    c.set_address(None);
    assert_eq!(choose(&c, Take::Distinct), "127.0.0.4");
    assert_eq!(choose(&b, Take::Distinct), "127.0.0.3");
    assert_eq!(choose(&a, Take::Distinct), "");
    // Who is no more leaves his.
    drop(b);
    assert_eq!(choose(&a, Take::Distinct), "127.0.0.3");
    // So does who has left the configuration, whoever is served there still.
    let d = target();
    assert_eq!(choose(&d, Take::Distinct), "");
    asked.forget(&a);
    assert_eq!(choose(&d, Take::Distinct), "127.0.0.3");
}

#[tokio::test]
async fn hosts_of_a_service_are_asked_for_each() {
    let (server, names) = (NameServer::start(), NameBook::default());
    let host = |priority: u16, weight: u16, port: u16, name: &str| {
        (priority, weight, port, format!("{name}.test"))
    };
    let name = "_http._tcp.app.test";
    let hosts = vec![
        host(1, 10, 8081, "a"),
        host(1, 30, 8082, "b"),
        host(2, 0, 8083, "b"),
    ];
    server.say(name, Says::Services(hosts, 1));
    server.say_addresses("a.test", &["127.0.0.2"]);
    let asks = Arc::new(resolver(&[server.address()]));
    let named = Named { name, port: None };
    let asked = names.ask(named, &asks);
    asked.heard().await;
    let places = || {
        let places = asked.places(&Resolution::default(), None);
        let one = |it: &Member| (it.address.to_string(), it.weight, it.backup);
        places.iter().map(one).collect::<Vec<_>>()
    };
    // One of which nothing is known is not there.
    assert_eq!(places(), [("127.0.0.2:8081".to_owned(), Some(10), false)]);
    server.say_addresses("b.test", &["127.0.0.3"]);
    let all = [
        ("127.0.0.2:8081".to_owned(), Some(10), false),
        ("127.0.0.3:8082".to_owned(), Some(30), false),
        ("127.0.0.3:8083".to_owned(), Some(1), true),
    ];
    until(&asked, |_| places() == all).await;
    // The last good answers hold, of the service and of its hosts.
    server.say(name, Says::Missing(1));
    server.say("a.test", Says::Silence);
    until(&asked, |it| it.why.is_some()).await;
    assert_eq!(places(), all);
    server.say(name, Says::Services(vec![host(1, 0, 8082, "b")], 1));
    let one = [("127.0.0.3:8082".to_owned(), None, false)];
    until(&asked, |_| places() == one).await;
}

#[tokio::test]
async fn what_another_process_knew_counts_until_something_is_heard() {
    let (good, silent) = (NameServer::start(), NameServer::start());
    good.say_addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
    silent.say("app.test", Says::Silence);
    let before = NameBook::default();
    let asked = before.ask(at("app.test"), &Arc::new(resolver(&[good.address()])));
    asked.heard().await;
    let mut parts = before.parts();
    assert_eq!(parts.len(), 1);
    // Each process asks its own server here.
    let text = serde_json::to_string(&parts).unwrap();
    let text = text.replace(&good.address().to_string(), &silent.address().to_string());
    let of_other = std::mem::replace(&mut parts, serde_json::from_str(&text).unwrap());

    let own = Resolver {
        hold: Hold {
            timeout: Some(Duration::from_secs(3)),
            ..Hold::default()
        },
        ..resolver(&[silent.address()])
    };
    let after = NameBook::default();
    let asked = after.ask(at("app.test"), &Arc::new(own));
    let mut news = asked.follow();
    // It was asked of others: nothing is known.
    after.hand(of_other);
    after.hand(parts.clone());
    let addresses = news.wait_for(|it| !it.addresses.is_empty()).await;
    let mut addresses = addresses.unwrap().addresses.clone();
    addresses.sort();
    assert_eq!(addresses, ips(&["127.0.0.2", "127.0.0.3"]));
    after.news().await;
    // It holds no longer than an answer of its own would.
    assert!(news.wait_for(|it| it.is_lost).await.is_ok());
    // What is heard counts, and nothing else any more.
    silent.say_addresses("app.test", &["127.0.0.4"]);
    let heard = |it: &Answer| it.addresses == ips(&["127.0.0.4"]);
    assert!(news.wait_for(heard).await.is_ok());
    after.hand(parts);
    let looks = asked.answer().looks;
    assert!(news.wait_for(|it| it.looks > looks + 1).await.is_ok());
    assert_eq!(asked.answer().addresses, ips(&["127.0.0.4"]));
}
