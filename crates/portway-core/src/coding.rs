//! Which content coding a client is served with (RFC 9110 §12.5.3), and which media types are meant.

use portway_model::compression::ContentCoding;

/// The coding that the values of `Accept-Encoding` like best among those offered; of equals the first offered. `None`: the
/// body stays as it is.
pub fn choose<'a>(
    accepted: impl Iterator<Item = &'a [u8]>,
    offered: &[ContentCoding],
) -> Option<ContentCoding> {
    let mut weights: Vec<Option<u16>> = vec![None; offered.len()];
    let mut any = None;
    for element in accepted.flat_map(|value| value.split(|byte| *byte == b',')) {
        let mut parts = element.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(quality).unwrap_or(1000);
        if name == b"*" {
            any = Some(weight);
        }
        for (coding, known) in offered.iter().zip(&mut weights) {
            let names: &[&str] = match coding {
                ContentCoding::Gzip => &["gzip", "x-gzip"],
                other => &[other.name()],
            };
            if names
                .iter()
                .any(|it| name.eq_ignore_ascii_case(it.as_bytes()))
            {
                *known = Some(weight);
            }
        }
    }
    let mut best: Option<(u16, ContentCoding)> = None;
    for (coding, weight) in offered.iter().zip(weights) {
        let weight = weight.or(any).unwrap_or(0);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// The coding that HAProxy chooses: what the client likes best, of equals what it names first. The values are those of
/// `Accept-Encoding`, in order. Where nothing is chosen a body may stay as it is, if that is offered.
pub fn choose_as_haproxy(accepted: &[Vec<u8>], offered: &[ContentCoding]) -> Option<ContentCoding> {
    let mut best: (u16, Option<ContentCoding>) = (0, None);
    for element in accepted
        .iter()
        .flat_map(|it| it.split(|byte| *byte == b','))
    {
        let mut parts = element.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(quality).unwrap_or(1000);
        let fits = |coding: &&ContentCoding| {
            name.starts_with(b"*") || name.eq_ignore_ascii_case(coding.name().as_bytes())
        };
        if let Some(coding) = offered.iter().find(fits).filter(|_| weight > best.0) {
            best = (weight, Some(*coding));
        }
    }
    let unchanged = || offered.iter().find(|it| **it == ContentCoding::Identity);
    best.1.or_else(|| unchanged().copied())
}

/// True for the clients whose compression HAProxy does not trust: Mozilla/4, but for Internet Explorer since 6 SV1.
pub fn is_old_mozilla(user_agent: &[u8]) -> bool {
    let explorer = || {
        let version = user_agent
            .get(25..31)
            .and_then(|it| it.strip_prefix(b"MSIE "));
        match version {
            Some([b'6']) => user_agent.get(51..54) == Some(b"SV1"),
            Some([version]) => *version > b'6',
            _ => false,
        }
    };
    user_agent.starts_with(b"Mozilla/4") && !explorer()
}

/// True for an entity tag in its right form (RFC 9110 §8.8.3).
pub fn is_entity_tag(tag: &[u8]) -> bool {
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    opaque.len() >= 2 && opaque.starts_with(b"\"") && opaque.ends_with(b"\"")
}

/// True where a `Content-Type` begins with one of these texts.
pub fn begins_with_one_of(content_type: &[u8], types: &[String]) -> bool {
    types.iter().any(|it| {
        let start = content_type.get(..it.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(it.as_bytes()))
    })
}

/// The weight that a parameter states, in thousandths; what is none counts as 0.
fn quality(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.trim_ascii().split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let weight = std::str::from_utf8(value.trim_ascii()).ok();
    let weight = weight.and_then(|it| it.parse::<f32>().ok());
    let weight = weight.filter(|it| (0.0..=1.0).contains(it)).unwrap_or(0.0);
    // At most a thousand.
    Some((weight * 1000.0) as u16)
}

/// True where a `Content-Type` is one of these media types: `text/html`, or `text/*` for all of one kind.
pub fn is_one_of(content_type: &[u8], types: &[String]) -> bool {
    let media = content_type.split(|byte| *byte == b';').next();
    let media = media.unwrap_or_default().trim_ascii();
    types.iter().any(|it| match it.strip_suffix('*') {
        Some(kind) => {
            let start = media.get(..kind.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        }
        None => media.eq_ignore_ascii_case(it.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContentCoding::{Brotli, Gzip, Zstd};

    #[test]
    fn codings_by_weight_then_by_preference() {
        #[track_caller]
        fn check(accepted: &[&str], expected: Option<ContentCoding>) {
            let values = accepted.iter().map(|it| it.as_bytes());
            assert_eq!(
                choose(values, &[Zstd, Brotli, Gzip]),
                expected,
                "{accepted:?}"
            );
        }
        check(&[], None);
        check(&[""], None);
        check(&["identity"], None);
        check(&["gzip"], Some(Gzip));
        check(&["X-GZIP"], Some(Gzip));
        check(&["gzip, deflate, br, zstd"], Some(Zstd));
        check(&["gzip, deflate, br"], Some(Brotli));
        check(&["gzip", "br"], Some(Brotli));
        check(&["gzip;q=1, br;q=0.9"], Some(Gzip));
        check(&["gzip ; Q=0.5 , br;q=0.4"], Some(Gzip));
        check(&["gzip;q=0"], None);
        check(&["*"], Some(Zstd));
        check(&["*, zstd;q=0"], Some(Brotli));
        check(&["*;q=0, gzip"], Some(Gzip));
        check(&["gzip;q=nonsense"], None);
        check(&["gzip;q=2, br;q=0.1"], Some(Brotli));
        check(&["gzi, gzipp"], None);
    }

    #[test]
    fn codings_as_haproxy_chooses_them() {
        use ContentCoding::{Deflate, Identity};
        #[track_caller]
        fn check(accepted: &str, offered: &[ContentCoding], expected: Option<ContentCoding>) {
            let values: Vec<Vec<u8>> = accepted.lines().map(|it| it.as_bytes().to_vec()).collect();
            assert_eq!(
                choose_as_haproxy(&values, offered),
                expected,
                "{accepted:?}"
            );
        }
        check("", &[Gzip], None);
        check("gzip", &[Gzip], Some(Gzip));
        check("GZIP", &[Gzip], Some(Gzip));
        check("br", &[Gzip], None);
        check("deflate, gzip", &[Gzip, Deflate], Some(Deflate));
        check("deflate;q=0.5\ngzip;q=0.6", &[Gzip, Deflate], Some(Gzip));
        check(
            "*;q=0, gzip;q=0.5, deflate;q=0.75",
            &[Gzip, Deflate],
            Some(Deflate),
        );
        check("*", &[Deflate, Gzip], Some(Deflate));
        check("gzip;q=0", &[Gzip], None);
        check("br", &[Gzip, Identity], Some(Identity));
        check("", &[Identity], Some(Identity));
    }

    #[test]
    fn clients_that_are_not_trusted_with_compression() {
        for (agent, old) in [
            ("Mozilla/5.0 (X11)", false),
            ("curl/8", false),
            ("Mozilla/4", true),
            ("Mozilla/4.0 (compatible; MSIE 5.0; Windows NT 5.1)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                false,
            ),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1)", false),
        ] {
            assert_eq!(is_old_mozilla(agent.as_bytes()), old, "{agent}");
        }
    }

    #[test]
    fn entity_tags() {
        for (tag, right) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"\"", true),
            ("\"W/a\"", true),
            ("\"a", false),
            ("a\"", false),
            ("W/a", false),
            ("\"", false),
        ] {
            assert_eq!(is_entity_tag(tag.as_bytes()), right, "{tag}");
        }
    }

    #[test]
    fn media_types() {
        let types = ["text/*".to_owned(), "application/json".to_owned()];
        for (content_type, expected) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/plain", true),
            ("application/JSON ;x=1", true),
            ("application/json+x", false),
            ("image/png", false),
            ("tex", false),
            ("", false),
        ] {
            assert_eq!(
                is_one_of(content_type.as_bytes(), &types),
                expected,
                "{content_type}"
            );
        }
    }
}
