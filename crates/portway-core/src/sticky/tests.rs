//! Values and headers as HAProxy 2.6 was seen to read and write them.

use super::*;
use std::time::Duration;

fn cookie(change: impl FnOnce(&mut StickyCookie)) -> StickyCookie {
    let mut cookie = StickyCookie::new("SRV");
    cookie.http_only = false;
    change(&mut cookie);
    cookie
}

#[test]
fn what_a_response_sets() {
    // 2026-11-21 11:42:00
    const NOW: i64 = 1_795_261_320;
    let check = |change: fn(&mut StickyCookie), value: Option<&str>, first, expected: &str| {
        let mut out = Vec::new();
        let cookie = cookie(change);
        let text = |out: &mut Vec<u8>| {
            let value = value.unwrap_or_default().as_bytes();
            write_value(&cookie, value, first, NOW, out);
        };
        let text: Option<&WriteValue<'_>> = value.is_some().then_some(&text);
        write(&cookie, Which::Own, text, NOW, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    };
    check(|_| {}, Some("a"), None, "SRV=a; path=/");
    check(
        |_| {},
        None,
        None,
        "SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/",
    );
    check(
        |c| {
            c.domains = vec![".a.b".into(), "c.d".into()];
            c.http_only = true;
            c.secure = true;
            c.attributes = vec!["SameSite=Lax".into(), "X=1".into()];
        },
        Some("a"),
        None,
        "SRV=a; path=/; domain=.a.b; domain=c.d; HttpOnly; Secure; SameSite=Lax; X=1",
    );
    check(
        |c| {
            c.same_site = Some(SameSite::Lax);
            c.max_age = Some(Duration::from_secs(60));
            c.path = "/app".into();
        },
        Some("a"),
        None,
        "SRV=a; path=/app; SameSite=Lax; Max-Age=60",
    );
    check(
        |c| {
            c.max_age = Some(Duration::from_secs(60));
            c.expires = true;
        },
        Some("a"),
        None,
        "SRV=a; path=/; Expires=Sat, 21 Nov 2026 11:43:00 GMT",
    );
    let dated = |change: fn(&mut StickyCookie), first| {
        let mut out = Vec::new();
        write_value(&cookie(change), b"a", first, NOW, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    let idle = dated(|c| c.max_idle = Some(Duration::from_secs(60)), None);
    assert_eq!(idle, "a|awGDi");
    let life = dated(|c| c.max_life = Some(Duration::from_secs(60)), Some(4));
    assert_eq!(life, "a|awGDi|AAAAB");
    assert_eq!(read_date(b"awGDi"), Some((NOW + 3) >> 2 << 2));
}

#[test]
fn what_a_request_says() {
    const NOW: i64 = 1_000_000;
    let check = |change: fn(&mut StickyCookie), value: &str, expected: (&str, Option<char>)| {
        let cookie = cookie(change);
        let read = read(&cookie, value.as_bytes(), NOW);
        let aged = read.aged.map(|aged| char::from(aged.letter()));
        let found = (std::str::from_utf8(read.value).unwrap(), aged);
        assert_eq!(found, expected, "{value}");
    };
    let dates = |last: i64, first: i64| {
        let mut out = b"a|".to_vec();
        write_date(last, &mut out);
        out.push(b'|');
        write_date(first, &mut out);
        String::from_utf8(out).unwrap()
    };
    let aged: fn(&mut StickyCookie) = |c| {
        c.max_idle = Some(Duration::from_secs(100));
        c.max_life = Some(Duration::from_secs(1_000));
    };
    check(|_| {}, "a", ("a", None));
    check(|_| {}, "a|xxxxx", ("a", None));
    check(aged, "a", ("a", None));
    check(aged, "a|junk", ("a", None));
    check(aged, &dates(NOW - 50, NOW - 900), ("a", None));
    check(aged, &dates(NOW - 200, NOW - 900), ("", Some('E')));
    check(aged, &dates(NOW - 50, NOW - 2_000), ("", Some('O')));
    check(aged, &dates(NOW + 90_000, NOW), ("", Some('E')));
    check(aged, &dates(NOW + 80_000, NOW), ("a", None));
    check(|c| c.mode = CookieMode::Prefix, "b~own", ("b", None));
    check(|c| c.mode = CookieMode::Prefix, "b", ("b", None));
    let prefix = cookie(|c| c.mode = CookieMode::Prefix);
    assert_eq!(read(&prefix, b"b~own~x", NOW).own, Some(&b"own~x"[..]));
}

#[test]
fn headers() {
    let check = |header: &str, value: Option<&str>, without: Option<&str>| {
        let place = find(header.as_bytes(), "SRV");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = place.as_ref().map(|it| text(it.value(header.as_bytes())));
        assert_eq!(found.as_deref(), value, "{header}");
        let left = place.and_then(|it| it.without(header.as_bytes()));
        assert_eq!(left.as_deref().map(text).as_deref(), without, "{header}");
    };
    check("SRV=a", Some("a"), None);
    check("SRV=b; x=1", Some("b"), Some("x=1"));
    check("x=1; SRV=zzz; y=2", Some("zzz"), Some("x=1; y=2"));
    check("x=1;SRV=b", Some("b"), Some("x=1"));
    check("SRV=", Some(""), None);
    check("xSRV=a; SRVx=b", None, None);
    check("x=\"a;SRV=q\"; SRV=b", Some("b"), Some("x=\"a;SRV=q\""));
    check("", None, None);
    let header = b"SRV=b~own; z=1";
    let place = find(header, "SRV").unwrap();
    assert_eq!(place.with(header, b"own"), b"SRV=own; z=1");
    let set = b"SRV=own; path=/x";
    assert_eq!(
        find_set(set, "SRV").unwrap().with(set, b"a"),
        b"SRV=a; path=/x"
    );
    assert_eq!(find_set(b"app=1; SRV=2", "SRV"), None);
}

#[test]
fn when_the_cookie_is_set() {
    let check = |change: fn(&mut StickyCookie), direct, last, first, expected: bool| {
        let setting = Setting {
            direct,
            dates: Dates { last, first },
            post: false,
            own: true,
        };
        assert_eq!(setting.is_due(&cookie(change), 1_000), expected);
    };
    let idle: fn(&mut StickyCookie) = |c| c.max_idle = Some(Duration::from_secs(60));
    let life: fn(&mut StickyCookie) = |c| c.max_life = Some(Duration::from_secs(60));
    check(|_| {}, false, None, None, true);
    check(|_| {}, true, None, None, false);
    check(|c| c.mode = CookieMode::Rewrite, false, None, None, false);
    check(|c| c.preserve = true, false, None, None, false);
    check(|c| c.post_only = true, false, None, None, false);
    check(idle, true, None, None, true);
    check(idle, true, Some(990), None, true);
    check(idle, true, Some(1_001), None, false);
    check(life, true, Some(1_001), None, true);
    check(life, true, Some(1_001), Some(500), false);
    check(|_| {}, true, Some(990), None, true);
    check(|_| {}, true, None, Some(500), true);
}

#[test]
fn what_caches_may_keep() {
    let check = |status, fields: &[(&str, &str)], expected: bool| {
        let mut freshness = Freshness::default();
        for (name, value) in fields {
            freshness.look(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(freshness.is_cacheable(status), expected, "{fields:?}");
    };
    check(200, &[], false);
    check(200, &[("cache-control", "max-age=5")], true);
    check(200, &[("cache-control", "max-age=5, private")], false);
    check(200, &[("cache-control", "max-age=0")], false);
    check(200, &[("ETag", "\"x\"")], true);
    check(302, &[("etag", "\"x\"")], false);
    check(404, &[("Expires", "Thu, 01 Dec 2044 16:00:00 GMT")], true);
}

#[test]
fn a_second_cookie_for_requests_of_other_sites() {
    let mut out = Vec::new();
    let cookie = cookie(|c| c.cross_site = Some("OTHER".to_owned()));
    let value = |out: &mut Vec<u8>| out.push(b'a');
    write(&cookie, Which::CrossSite, Some(&value), 0, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("OTHER=a; path=/"), "{text}");
    assert!(text.contains("; Secure; SameSite=None"), "{text}");
}
