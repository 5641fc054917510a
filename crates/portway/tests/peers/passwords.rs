//! Passwords with slow hashes: nobody else waits for them, those who guess are bounded, and what is known is known.

use crate::echo::Echo;
use crate::stage::{Client, Stage, group};
use crate::support::{eventually, free_port};

/// What bcrypt makes of `right`, at a cost that takes a while.
const HASH: &str = "$2b$10$abcdefghijklmnopqrstuu1VS0P7v3ZJmd2gzBFIzgfN7OOl6Rl52";
/// What a source may have waiting.
const WAITING: usize = 8;

/// Asks for what needs a password.
fn sign_in(client: &mut Client, password: &str) {
    let credentials = base64(&format!("anna:{password}"));
    client.send(&format!(
        "GET /admin HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"
    ));
}

fn base64(text: &str) -> String {
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain("+/".chars())
        .collect();
    let letters = text.as_bytes().chunks(3).flat_map(|three| {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(*three.get(at).unwrap_or(&0))
        });
        let letter = |at: usize| match at <= three.len() {
            true => alphabet[bits >> (18 - 6 * at) & 63],
            false => '=',
        };
        (0..4).map(letter).collect::<Vec<_>>()
    });
    letters.collect()
}

fn has_answer(client: &Client) -> bool {
    let stream = client.0.get_ref();
    stream.set_nonblocking(true).unwrap();
    let came = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    came
}

#[test]
fn those_who_guess_delay_only_themselves() {
    let one = Echo::start("one");
    let web = free_port();
    let text = |more: &str| {
        format!(
            "[process]\nworkers = 1\n\
             [listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n{more}\
             [[listener.web.rule]]\nwhen = 'PathPrefix(`/admin`)'\nauthenticate = 'staff'\n\
             [userlist.staff]\nusers = {{ anna = '{HASH}' }}\n{}",
            group("app", &[one.port])
        )
    };
    let stage = Stage::new(&text(""));
    let mut signed_in = Client::new(web);
    sign_in(&mut signed_in, "right");
    assert!(signed_in.answer().contains("x-server: one"));

    // The last is answered long after an unrelated request on the same worker, and a reload loses none of them.
    let mut wrong: Vec<Client> = (0..WAITING).map(|_| Client::new(web)).collect();
    for (number, client) in wrong.iter_mut().enumerate() {
        sign_in(client, &format!("wrong{number}"));
    }
    assert_eq!(Client::new(web).ask("/"), "one");
    // Who is known does not wait either.
    sign_in(&mut signed_in, "right");
    assert!(signed_in.answer().contains("x-server: one"));
    assert!(!has_answer(wrong.last().unwrap()));

    // More than may wait: the source is told to come again. Another source waits no longer than its turn takes to come.
    let mut more: Vec<Client> = (0..WAITING + 2).map(|_| Client::new(web)).collect();
    for (number, client) in more.iter_mut().enumerate() {
        sign_in(client, &format!("more{number}"));
    }
    let place = eventually("a refusal", || more.iter().position(has_answer));
    let refused = more.swap_remove(place).answer();
    assert!(
        refused.starts_with("http/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"),
        "{refused}"
    );
    let url = format!("http://127.0.0.1:{web}/admin");
    let other = ["--interface", "127.0.0.2", "-u", "anna:wrong too", &url];
    assert_eq!(stage.scene.status(&other), "401");
    assert!(!has_answer(wrong.last().unwrap()));
    let reached = stage.metric("portway_limit_reached_total{limit=\"password_checks\"} ");
    assert_ne!(reached, "0");

    // A reload loses none of those that wait.
    stage.becomes(&text("max_connections = 900\n"));
    for client in &mut wrong {
        assert!(client.answer().starts_with("http/1.1 401 "));
    }
    for client in &mut more {
        let _ = client.answer();
    }
    // Wrong ones are known too: they are answered where the source has as many waiting as it may.
    more.extend((0..WAITING).map(|_| Client::new(web)));
    for (number, client) in more.iter_mut().enumerate() {
        sign_in(client, &format!("again{number}"));
    }
    eventually("a refusal", || more.iter().position(has_answer));
    sign_in(&mut wrong[0], "wrong0");
    assert!(wrong[0].answer().starts_with("http/1.1 401 "));
}

/// Control has one thread: no password of the page may hold it up.
#[test]
fn passwords_of_the_page_of_statistics_wait_as_others_do() {
    let web = free_port();
    let text = format!(
        "[process]\nworkers = 1\n\
         [listener.web]\nbind = '127.0.0.1:{web}'\nforward = 'app'\n\
         [[listener.web.rule]]\nwhen = 'PathPrefix(`/admin`)'\n\
         service = {{ stats = {{ uri_prefix = '/admin', users = 'staff' }} }}\n\
         [userlist.staff]\nusers = {{ anna = '{HASH}' }}\n{}",
        group("app", &[1])
    );
    let stage = Stage::new(&text);
    let mut signed_in = Client::new(web);
    sign_in(&mut signed_in, "right");
    assert!(signed_in.answer().starts_with("http/1.1 200 "));
    let mut wrong: Vec<Client> = (0..2 * WAITING + 2).map(|_| Client::new(web)).collect();
    for (number, client) in wrong.iter_mut().enumerate() {
        sign_in(client, &format!("wrong{number}"));
    }
    // What is known is known.
    sign_in(&mut signed_in, "right");
    assert!(signed_in.answer().starts_with("http/1.1 200 "));
    let answers: Vec<String> = wrong.iter_mut().map(Client::answer).collect();
    let of = |start: &str| answers.iter().filter(|it| it.starts_with(start)).count();
    let (wrong, busy) = (of("http/1.1 401 "), of("http/1.1 503 "));
    assert!(wrong >= WAITING && busy > 0, "{answers:?}");
    assert_eq!(wrong + busy, answers.len(), "{answers:?}");
    let reached = stage.metric("portway_limit_reached_total{limit=\"password_checks\"} ");
    assert_eq!(reached, busy.to_string());
}
