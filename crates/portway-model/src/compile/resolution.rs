//! How names of targets are resolved: what is given, within its limits.

use super::limits;
use crate::address::TargetAddress;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::TargetDraft;
use crate::resolution::{
    Hold, MAX_TTL, MIN_TTL, MOST, PAYLOAD_SIZE, Resolution, ResolutionDraft, Resolver, Take,
};
use crate::span::Spanned;
use std::sync::Arc;
use std::time::Duration;

/// Addresses of one name that become targets, at most: a group is looked through in one go.
const MAX_MOST: u16 = 4096;
/// Questions to one server in a look-up, at most.
const MAX_ATTEMPTS: u16 = 16;
/// Servers of one resolver.
const MAX_NAMESERVERS: usize = 16;
/// Bytes that every server may send over UDP (RFC 1035 section 4.2.1).
const LEAST_PAYLOAD: u16 = 512;

/// How the name of a target is resolved.
pub(super) fn resolution(found: &mut Diagnostics, draft: &TargetDraft) -> Resolution {
    let is_service = matches!(draft.address.value, TargetAddress::Service(_));
    let unless_said = if is_service { Take::All } else { Take::First };
    let Some(given) = &draft.resolve else {
        return Resolution {
            take: unless_said,
            ..Resolution::default()
        };
    };
    let is_name = draft.address.value.is_named();
    if !is_name {
        let message = format!(
            "`{}` is no name: there is nothing to resolve",
            draft.address.value
        );
        found.push(
            Diagnostic::error(Code::Conflict, given.span, message)
                .help("leave `resolve` away, or write a name in place of the address"),
        );
    }
    let own = &given.value;
    let take = own.take.map_or(unless_said, |it| it.value);
    if let Some(said) = own.take.filter(|it| is_service && it.value == Take::First) {
        let message = "a service has hosts, of which `first` would take one";
        found.push(Diagnostic::error(Code::Conflict, said.span, message).help(
            "`all` makes each of them a target, `distinct` gives one to each target of this name",
        ));
    }
    if take == Take::All {
        of_many(found, draft, given);
        if let Some(said) = own.networks.first() {
            let message = "every address of this name is a target, of whatever network";
            found.push(
                Diagnostic::error(Code::Conflict, said.span, message)
                    .help("leave `networks` away, or take `first` or `distinct`"),
            );
        }
    }
    Resolution {
        take,
        prefer: own.prefer.map(|it| it.value),
        networks: own.networks.iter().map(|it| it.value).collect(),
        most: within(found, "`most`", own.most, (1, MAX_MOST)).unwrap_or(MOST),
        resolver: Arc::new(resolver(found, own)),
    }
}

/// What only one target can have.
fn of_many(found: &mut Diagnostics, draft: &TargetDraft, given: &Spanned<ResolutionDraft>) {
    let number = draft.number.map(|it| (it.span, "number"));
    let cookie = draft.cookie.as_ref().map(|it| (it.span, "cookie"));
    for (span, key) in [number, cookie].into_iter().flatten() {
        let message =
            format!("`{key}` is for one target, and every address of this name is a target");
        found.push(
            Diagnostic::error(Code::Conflict, span, message)
                .label(given.span, "every address here")
                .help(format!("leave `{key}` away: each of them gets its own")),
        );
    }
}

fn resolver(found: &mut Diagnostics, own: &ResolutionDraft) -> Resolver {
    let nameservers = own.nameservers.as_ref();
    if let Some(given) = nameservers.filter(|it| it.value.len() > MAX_NAMESERVERS) {
        let message = format!("more than {MAX_NAMESERVERS} servers of names");
        found.push(Diagnostic::error(Code::OutOfRange, given.span, message));
    }
    let min_ttl = limits::duration_or_zero(found, "`min_ttl`", own.min_ttl, MIN_TTL);
    let max_ttl = limits::duration(found, "`max_ttl`", own.max_ttl, MAX_TTL.max(min_ttl));
    if let Some(given) = own.max_ttl.filter(|_| max_ttl < min_ttl) {
        let message = "`max_ttl` is shorter than `min_ttl`";
        found.push(Diagnostic::error(Code::OutOfRange, given.span, message));
    }
    let mut hold = |what: &str, given: Option<Spanned<Duration>>| {
        given.map(|it| limits::duration_or_zero(found, what, Some(it), it.value))
    };
    let hold = Hold {
        missing: hold("`hold_missing`", own.hold_missing),
        refused: hold("`hold_refused`", own.hold_refused),
        timeout: hold("`hold_timeout`", own.hold_timeout),
        other: hold("`hold_other`", own.hold_other),
        obsolete: hold("`hold_obsolete`", own.hold_obsolete).unwrap_or_default(),
    };
    let payload = (LEAST_PAYLOAD, u16::MAX);
    Resolver {
        nameservers: nameservers.map_or_else(Vec::new, |given| {
            given.value.iter().map(|it| it.value).collect()
        }),
        attempts: within(found, "`attempts`", own.attempts, (1, MAX_ATTEMPTS)),
        timeout: limits::optional_duration(found, "`timeout`", own.timeout),
        min_ttl,
        max_ttl,
        payload_size: within(found, "`payload_size`", own.payload_size, payload)
            .unwrap_or(PAYLOAD_SIZE),
        hold,
    }
}

fn within(
    found: &mut Diagnostics,
    what: &str,
    given: Option<Spanned<u16>>,
    range: (u16, u16),
) -> Option<u16> {
    limits::given_within(found, what, given, range);
    given.map(|it| it.value)
}
