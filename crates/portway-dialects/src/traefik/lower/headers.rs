//! The middleware `headers`: headers of requests and responses, CORS, and what browsers are told for safety.
//!
//! CORS is not the action `cors`, which means something else in too many places. Traefik answers a question of a browser with 200,
//! tells strangers of methods and headers too, and always of an age, which is 0 where nothing is said. It takes patterns for
//! origins and allows credentials beside `*`. It leaves what the server says of it where it says nothing itself, adds `Vary` only
//! where told, and only a middleware that a request has passed has a say, so that faults before it are told without.

use super::super::matcher::{expression, one_of, test};
use super::super::schema::Section;
use super::chain::Chain;
use super::middleware::{nothing, of, part, set_header, text_answer};
use super::{Lowering, Speech, over_tls};
use portway_model::action::{Action, AnswerBody, FixedResponse, is_of_connection};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    Append, Condition, HeaderPart, Matcher, Message, Template, TemplatePart, TextMatch, Transform,
    Value,
};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// The headers of a map that may be written.
fn written(lowering: &mut Lowering<'_>, section: &Section, map: &str) -> Vec<Pair> {
    let mut kept = Vec::new();
    for (name, value) in sorted(section.map(map)) {
        let lower = name.value.to_ascii_lowercase();
        let token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
        if lower.is_empty() || !lower.bytes().all(token) {
            let message = format!("`{}` is no name of a header", name.value);
            lowering.refused(Diagnostic::error(Code::OutOfRange, name.span, message));
        } else if is_of_connection(&lower) {
            let message = format!("the header `{}` has no effect here", name.value);
            let one = Diagnostic::warning(Code::NotRun, name.span, message);
            let help = "it belongs to one connection, and is written as each side needs it, for WebSockets too";
            lowering.refused(one.help(help));
        } else {
            kept.push((name.clone(), value.clone()));
        }
    }
    kept
}

pub(super) fn lower(lowering: &mut Lowering<'_>, section: &Section, chain: &mut Chain, at: Span) {
    if section.entries.is_empty() {
        nothing(lowering, "headers", at);
    }
    let requests = written(lowering, section, "customRequestHeaders");
    let responses = written(lowering, section, "customResponseHeaders");
    let origins = Origins::of(section);
    if has_cors(section) {
        preflight(section, &origins, chain, at);
    }
    request(&requests, chain);
    // What stands last here runs first on the way back: what is said by hand replaces what browsers are told.
    vary(section, chain, at);
    cors(section, &origins, chain, at);
    custom_responses(&responses, chain, at);
    allowed_hosts(section, chain, at);
    browsers(lowering.speech, section, chain, at);
}

fn custom_responses(custom: &[Pair], chain: &mut Chain, at: Span) {
    let custom = custom
        .iter()
        .map(|(name, value)| match value.value.as_str() {
            "" => Action::RemoveHeader {
                name: name.value.clone(),
            },
            text => set_header(&name.value, Template::text(text)),
        });
    let custom: Vec<_> = custom.collect();
    if !custom.is_empty() {
        chain.response(None, custom, at);
    }
}

type Pair = (Spanned<String>, Spanned<String>);

/// In the order of names, so that the order of texts means nothing.
fn sorted(map: &[Pair]) -> Vec<&Pair> {
    let mut pairs: Vec<&Pair> = map.iter().collect();
    pairs.sort_by_key(|(name, _)| name.value.to_ascii_lowercase());
    pairs
}

fn request(custom: &[Pair], chain: &mut Chain) {
    for (name, value) in custom {
        let forwarded_for = name.value.eq_ignore_ascii_case("X-Forwarded-For");
        let action = match value.value.as_str() {
            // The client is added to whatever stands there.
            "" if forwarded_for => set_header(&name.value, of(Value::Source)),
            "" => Action::RemoveHeader {
                name: name.value.clone(),
            },
            text if forwarded_for => {
                let parts = vec![TemplatePart::Text(format!("{text}, ")), part(Value::Source)];
                set_header(&name.value, Template(parts))
            }
            text => set_header(&name.value, Template::text(text)),
        };
        chain.always(action, value.span);
    }
}

fn allowed_hosts(section: &Section, chain: &mut Chain, at: Span) {
    let hosts = section.list("allowedHosts");
    if hosts.is_empty() || section.is_on("isDevelopment") {
        return;
    }
    let hosts = hosts.iter().map(|host| host.value.to_ascii_lowercase());
    let hosts: Vec<String> = hosts.collect();
    let allowed = is_one_of(&hosts, section.list("hostsProxyHeaders"), at);
    let answer = Action::Respond(text_answer(500, "Bad Host\n"));
    chain.when(Condition::Not(Box::new(allowed)), vec![answer], at);
}

/// Whether the host is one of these: what the first of the headers that is not empty says, else the request's own.
fn is_one_of(hosts: &[String], headers: &[Spanned<String>], at: Span) -> Condition<Named> {
    let own = one_of(Value::Host, hosts.to_vec(), true, at);
    headers.iter().rev().fold(own, |others, header| {
        let value = || Value::HeaderPart {
            of: Message::Request,
            name: header.value.clone(),
            part: HeaderPart::Line(1),
        };
        let says = test(value(), Matcher::True, at);
        let is_silent = Condition::Not(Box::new(says.clone()));
        let is_good = one_of(value(), hosts.to_vec(), true, at);
        Condition::Any(vec![
            Condition::All(vec![says, is_good]),
            Condition::All(vec![is_silent, others]),
        ])
    })
}

/// Which origins may read responses.
struct Origins {
    named: Vec<String>,
    patterns: Vec<Spanned<String>>,
    all: bool,
}

impl Origins {
    fn of(section: &Section) -> Self {
        let list = section.list("accessControlAllowOriginList");
        // What stands behind a star is never asked.
        let named = list
            .iter()
            .map(|it| it.value.clone())
            .take_while(|it| it != "*");
        Self {
            named: named.collect(),
            patterns: section.list("accessControlAllowOriginListRegex").to_vec(),
            all: list.iter().any(|it| it.value == "*"),
        }
    }

    /// `None`: nobody is named.
    fn condition(&self, at: Span) -> Option<Condition<Named>> {
        let origin = || Value::Header("Origin".to_owned());
        let mut parts = Vec::new();
        if !self.named.is_empty() {
            parts.push(one_of(origin(), self.named.clone(), false, at));
        }
        if !self.patterns.is_empty() && !self.all {
            let any_of = self.patterns.clone();
            parts.push(test(origin(), Matcher::Regex { any_of }, at));
        }
        match parts.len() {
            0 => None,
            1 => Some(parts.remove(0)),
            _ => Some(Condition::Any(parts)),
        }
    }

    /// What is said to whom, in order; each case with its condition.
    fn cases(&self, at: Span) -> Vec<(Option<Condition<Named>>, Template<Named>)> {
        let named = self.condition(at);
        let mut cases = Vec::new();
        if let Some(named) = &named {
            cases.push((Some(named.clone()), of(Value::Header("Origin".to_owned()))));
        }
        if self.all {
            let others = named.map(|named| Condition::Not(Box::new(named)));
            cases.push((others, Template::text("*")));
        }
        cases
    }
}

fn has_cors(section: &Section) -> bool {
    let lists = [
        "accessControlAllowHeaders",
        "accessControlAllowMethods",
        "accessControlAllowOriginList",
        "accessControlAllowOriginListRegex",
        "accessControlExposeHeaders",
    ];
    lists.iter().any(|name| !section.list(name).is_empty())
        || section.is_on("accessControlAllowCredentials")
        || section.is_on("addVaryHeader")
        || section
            .number("accessControlMaxAge")
            .is_some_and(|it| it.value != 0)
}

fn joined(section: &Section, name: &str) -> Option<String> {
    let list = section.list(name);
    let texts: Vec<&str> = list.iter().map(|it| it.value.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Answers a browser that asks before it sends.
fn preflight(section: &Section, origins: &Origins, chain: &mut Chain, at: Span) {
    let there = |name: &str| {
        let header = Value::Header(name.to_owned());
        let how = Matcher::Text {
            how: TextMatch::Exact,
            any_of: vec![String::new()],
            ignore_case: false,
        };
        let empty = test(header.clone(), how, at);
        [
            test(header, Matcher::Present, at),
            Condition::Not(Box::new(empty)),
        ]
    };
    let mut asks = vec![one_of(Value::Method, vec!["OPTIONS".to_owned()], false, at)];
    asks.extend(there("Access-Control-Request-Method"));
    asks.extend(there("Origin"));
    let mut headers: Vec<(String, Template<Named>)> = Vec::new();
    let mut say = |name: &str, value: String| {
        headers.push((name.to_owned(), Template::text(value)));
    };
    if section.is_on("accessControlAllowCredentials") {
        say("Access-Control-Allow-Credentials", "true".to_owned());
    }
    for (name, option) in [
        ("Access-Control-Allow-Headers", "accessControlAllowHeaders"),
        ("Access-Control-Allow-Methods", "accessControlAllowMethods"),
    ] {
        if let Some(list) = joined(section, option) {
            say(name, list);
        }
    }
    let age = section
        .number("accessControlMaxAge")
        .map_or(0, |it| it.value);
    say("Access-Control-Max-Age", age.to_string());
    let answer = |more: Option<Template<Named>>| {
        let mut headers = headers.clone();
        headers.extend(more.map(|origin| ("Access-Control-Allow-Origin".to_owned(), origin)));
        Action::Respond(FixedResponse {
            status: 200,
            content_type: None,
            body: AnswerBody::NONE,
            headers,
        })
    };
    for (condition, origin) in origins.cases(at) {
        let mut parts = asks.clone();
        parts.extend(condition);
        chain.when(Condition::All(parts), vec![answer(Some(origin))], at);
    }
    if !origins.all {
        chain.when(Condition::All(asks), vec![answer(None)], at);
    }
}

/// What responses say to browsers of another origin; what the server says of it stays where nothing is said here.
fn cors(section: &Section, origins: &Origins, chain: &mut Chain, at: Span) {
    let mut always = Vec::new();
    if section.is_on("accessControlAllowCredentials") {
        always.push(set_header(
            "Access-Control-Allow-Credentials",
            Template::text("true"),
        ));
    }
    if let Some(list) = joined(section, "accessControlExposeHeaders") {
        always.push(set_header(
            "Access-Control-Expose-Headers",
            Template::text(list),
        ));
    }
    if !always.is_empty() {
        chain.response(None, always, at);
    }
    for (condition, origin) in origins.cases(at) {
        let set = set_header("Access-Control-Allow-Origin", origin);
        chain.response(condition, vec![set], at);
    }
}

fn vary(section: &Section, chain: &mut Chain, at: Span) {
    if !section.is_on("addVaryHeader") {
        return;
    }
    let vary = || Value::ResponseHeader("Vary".to_owned());
    let is_said = one_of(vary(), vec!["Origin".to_owned()], false, at);
    let before = Transform::Append(Append {
        before: ",".to_owned(),
        variable: None,
        after: String::new(),
    });
    let before = expression(vary(), vec![before]);
    let value = Template(vec![
        TemplatePart::Expression(Spanned::bare(before)),
        TemplatePart::Text("Origin".to_owned()),
    ]);
    let set = set_header("Vary", value);
    chain.response(Some(Condition::Not(Box::new(is_said))), vec![set], at);
}

/// Headers that make browsers careful.
fn browsers(speech: Speech, section: &Section, chain: &mut Chain, at: Span) {
    let mut actions = Vec::new();
    let mut say = |name: &str, value: &str| {
        actions.push(set_header(name, Template::text(value)));
    };
    if let Some(value) = section.some_text("customFrameOptionsValue") {
        say("X-Frame-Options", value.value);
    } else if section.is_on("frameDeny") {
        say("X-Frame-Options", "DENY");
    }
    if section.is_on("contentTypeNosniff") {
        say("X-Content-Type-Options", "nosniff");
    }
    if let Some(value) = section.some_text("customBrowserXSSValue") {
        say("X-XSS-Protection", value.value);
    } else if section.is_on("browserXssFilter") {
        say("X-XSS-Protection", "1; mode=block");
    }
    for (name, option) in [
        ("Public-Key-Pins", "publicKey"),
        ("Content-Security-Policy", "contentSecurityPolicy"),
        (
            "Content-Security-Policy-Report-Only",
            "contentSecurityPolicyReportOnly",
        ),
        ("Referrer-Policy", "referrerPolicy"),
        ("Feature-Policy", "featurePolicy"),
        ("Permissions-Policy", "permissionsPolicy"),
    ] {
        if let Some(value) = section.some_text(option) {
            say(name, value.value);
        }
    }
    if !actions.is_empty() {
        chain.response(None, actions, at);
    }
    strict_transport(speech, section, chain, at);
}

fn strict_transport(speech: Speech, section: &Section, chain: &mut Chain, at: Span) {
    let seconds = section.number("stsSeconds").map_or(0, |it| it.value);
    if seconds == 0 || section.is_on("isDevelopment") {
        return;
    }
    let mut value = format!("max-age={seconds}");
    if section.is_on("stsIncludeSubdomains") {
        value.push_str("; includeSubDomains");
    }
    if section.is_on("stsPreload") {
        value.push_str("; preload");
    }
    let set = set_header("Strict-Transport-Security", Template::text(value));
    let condition = if speech == Speech::Tls || section.is_on("forceSTSHeader") {
        None
    } else {
        let said = section.map("sslProxyHeaders").iter().map(|(name, value)| {
            let header = Value::Header(name.value.clone());
            one_of(header, vec![value.value.clone()], false, at)
        });
        let mut said: Vec<_> = said.collect();
        if speech == Speech::Both {
            said.push(over_tls(at));
        }
        match said.len() {
            0 => return,
            1 => Some(said.remove(0)),
            _ => Some(Condition::Any(said)),
        }
    };
    chain.response(condition, vec![set], at);
}
