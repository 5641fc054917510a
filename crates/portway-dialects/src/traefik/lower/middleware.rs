//! Middlewares of HTTP, each as steps of a router's chain.

use super::super::matcher::{expression, networks, one_of, test, test_of};
use super::super::model::{Object, Provider};
use super::super::schema::{Section, Value as Said};
use super::chain::Chain;
use super::{Lowering, client_certificate, forwarded, headers};
use portway_model::action::{Action, AnswerBody, FixedResponse, NamePattern};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{UserDraft, UserlistDraft};
use portway_model::expression::{
    Condition, Expression, HeaderPart, Matcher, Message, NumberRange, Scope, Template,
    TemplatePart, Transform, Value, Variable,
};
use portway_model::name::Name;
use portway_model::replacement::without_missing;
use portway_model::settings::Password;
use portway_model::span::{Span, Spanned};
use portway_model::stage::{Named, Pattern};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How deep chains of chains may go.
const MAX_CHAINS: usize = 16;

impl Lowering<'_> {
    /// Adds what the middlewares of these names do.
    pub(super) fn middlewares(
        &mut self,
        names: &[Spanned<String>],
        from: Provider,
        chain: &mut Chain,
        depth: usize,
    ) {
        for name in names {
            let name = name.as_ref().map(String::as_str);
            let model = self.model;
            let Some(object) = model.middlewares.find(name, from, self.found) else {
                continue;
            };
            if depth >= MAX_CHAINS {
                let message = format!("the chain `{}` goes in a circle, or too deep", name.value);
                self.error(Code::TooLarge, name.span, message);
                return;
            }
            self.middleware(object, chain, depth);
        }
    }

    fn middleware(&mut self, object: &Object, chain: &mut Chain, depth: usize) {
        let entries = &object.section.entries;
        if entries.len() > 1 {
            let message = format!("the middleware `{}` is of several types", object.name);
            let one = Diagnostic::error(Code::Conflict, object.key, message);
            self.found.push(one.help("give each a name of its own"));
        }
        let Some(entry) = entries.first() else {
            let message = format!("the middleware `{}` has no type", object.name);
            let one = Diagnostic::error(Code::Missing, object.key, message);
            // A type that is not done yet has been named already.
            if !self.found.has_errors() {
                self.refused(one.help("such as `headers`, `stripPrefix` or `basicAuth`"));
            }
            return;
        };
        let Said::Section(section) = &entry.value else {
            return;
        };
        let at = entry.key;
        match entry.name.as_str() {
            "chain" => {
                let names = section.list("middlewares").to_vec();
                if names.is_empty() {
                    nothing(self, "chain", at);
                }
                self.middlewares(&names, object.provider, chain, depth + 1);
            }
            "headers" => headers::lower(self, section, chain, at),
            "addPrefix" => {
                if let Some(prefix) = self.required(section, "prefix", at) {
                    chain.always(Action::AddPrefix(rooted(prefix.value)), prefix.span);
                }
            }
            "stripPrefix" => {
                let said = section.list("prefixes");
                let prefixes = said.iter().map(|it| rooted(it.value.trim()));
                let prefixes: Vec<String> = prefixes.collect();
                match prefixes.is_empty() {
                    true => nothing(self, "stripPrefix", at),
                    false => chain.always(Action::StripPrefix(prefixes), at),
                }
            }
            "passTLSClientCert" => client_certificate::lower(section, chain, at),
            "stripPrefixRegex" => self.strip_prefix_regex(section, chain, at),
            "replacePath" => {
                if let Some(path) = self.required(section, "path", at) {
                    chain.always(set_header("X-Replaced-Path", of(Value::Path)), at);
                    chain.always(
                        Action::SetPath(Template::text(rooted(path.value))),
                        path.span,
                    );
                }
            }
            "replacePathRegex" => self.replace_path_regex(section, chain, at),
            "redirectScheme" => {
                if let Some(scheme) = self.required(section, "scheme", at) {
                    if !matches!(scheme.value, "http" | "https") {
                        let message = format!("`{}` is no scheme to redirect to", scheme.value);
                        let one = Diagnostic::error(Code::OutOfRange, scheme.span, message);
                        self.refused(one.nearest(scheme.value, ["http", "https"]));
                    }
                    let port = section.some_text("port").map(|it| it.value);
                    let permanent = section.is_on("permanent");
                    redirect_scheme(chain, scheme.value, port, permanent, at);
                }
            }
            "redirectRegex" => self.redirect_regex(section, chain, at),
            "forwardAuth" => self.forward_auth(object, section, chain, at),
            "basicAuth" => self.basic_auth(object, section, chain, at),
            "digestAuth" => self.digest_auth(section, chain, at),
            "ipAllowList" | "ipWhiteList" => self.ip_allow_list(section, chain, at),
            "errors" => self.errors(object, section, chain, at),
            "compress" => self.compress(section, chain, at),
            "buffering" => self.buffering(section, chain, at),
            "rateLimit" => self.rate_limit(&object.name, section, chain, at),
            "circuitBreaker" => self.circuit_breaker(&object.name, section, chain, at),
            "inFlightReq" => self.in_flight_limit(&object.name, section, chain, at),
            "retry" => self.retry(section, chain, at),
            "encodedCharacters" => {
                if let Some((condition, answer)) = forwarded::encoded(section, false) {
                    chain.when(condition, vec![answer], at);
                }
            }
            _ => {}
        }
    }

    /// An option without which a middleware means nothing.
    pub(super) fn required<'s>(
        &mut self,
        section: &'s Section,
        name: &str,
        at: Span,
    ) -> Option<Spanned<&'s str>> {
        let text = section.some_text(name);
        if text.is_none() {
            self.error(Code::Missing, at, format!("`{name}` is missing"));
        }
        text
    }

    /// The text of a replacement without groups that are not there: in Traefik, too, they are empty texts.
    fn known_groups(&mut self, pattern: &Spanned<String>, with: &str) -> String {
        let (kept, left_out) = without_missing(&pattern.value, with);
        for group in left_out {
            let message = format!("`regex` has no group `{group}`, so nothing stands there");
            let warning = Diagnostic::warning(Code::NeverWorks, pattern.span, message);
            self.found.push(warning.help(
                "groups are counted from 1 by their parentheses; `$1x` is a group of the name `1x`: write `${1}x`",
            ));
        }
        kept
    }

    fn replace_path_regex(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let Some(regex) = self.required(section, "regex", at) else {
            return;
        };
        let with = section.text("replacement").map_or("", |it| it.value.trim());
        let pattern = Spanned::new(regex.value.trim().to_owned(), regex.span);
        let with = self.known_groups(&pattern, with);
        let matches = Matcher::Regex {
            any_of: vec![pattern.clone()],
        };
        let actions = vec![
            set_header("X-Replaced-Path", of(Value::Path)),
            Action::ReplacePath {
                pattern,
                with: Template::text(with),
            },
        ];
        chain.when(test(Value::Path, matches, regex.span), actions, at);
    }

    fn redirect_regex(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let Some(regex) = self.required(section, "regex", at) else {
            return;
        };
        let with = section.text("replacement").map_or("", |it| it.value);
        let [url, redirect] = ["url", "redirect"].map(|name| Variable {
            scope: Scope::Exchange,
            name: Name::new(name),
        });
        let parts = vec![
            part(Value::Scheme),
            TemplatePart::Text("://".to_owned()),
            part(Value::Header("Host".to_owned())),
            part(Value::Target),
        ];
        let set = Action::SetVariable {
            variable: url.clone(),
            value: Template(parts),
        };
        chain.always(set, at);
        let pattern = Spanned::new(regex.value.to_owned(), regex.span);
        let with = self.known_groups(&pattern, with);
        let replaced = expression(
            Value::Variable(url.clone()),
            vec![Transform::Replace {
                pattern,
                with,
                all: true,
            }],
        );
        let set = Action::SetVariable {
            variable: redirect.clone(),
            value: Template(vec![TemplatePart::Expression(Spanned::new(replaced, at))]),
        };
        chain.always(set, at);
        // Nobody is sent to where he is, whether the expression matches or not.
        let compared = expression(
            Value::Variable(redirect.clone()),
            vec![Transform::Compare(url)],
        );
        let same = Matcher::Number {
            any_of: vec![NumberRange { min: 0, max: 0 }],
        };
        let differs = Condition::Not(Box::new(test_of(compared, same, regex.span)));
        let location = of(Value::Variable(redirect));
        self::redirect(chain, &differs, &location, section.is_on("permanent"), at);
    }

    fn basic_auth(&mut self, object: &Object, section: &Section, chain: &mut Chain, at: Span) {
        let name = self.model.middlewares.short_name(object);
        let users = self.users(section, at);
        let draft = UserlistDraft {
            name: Spanned::new(Name::new(name.as_str()), object.key),
            users,
        };
        if !self
            .draft
            .userlists
            .iter()
            .any(|list| list.name == draft.name)
        {
            self.draft.userlists.push(draft);
        }
        let realm = section.some_text("realm").map_or("traefik", |it| it.value);
        let authenticate = Action::Authenticate {
            users: Some(Spanned::new(Name::new(name), at)),
            realm: realm.to_owned(),
        };
        chain.always(authenticate, at);
        if let Some(header) = section.some_text("headerField") {
            for action in own_header(header.value, of(Value::BasicUser)) {
                chain.always(action, header.span);
            }
        }
        if section.is_on("removeHeader") {
            let name = "Authorization".to_owned();
            chain.always(Action::RemoveHeader { name }, at);
        }
    }

    fn strip_prefix_regex(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let list = section.list("regex");
        if list.is_empty() || !self.compile(list) {
            return;
        }
        // The first that fits counts; it has to fit at the beginning.
        let each: Vec<String> = list
            .iter()
            .map(|it| format!("(?:{})", it.value.trim().trim_start_matches('^')))
            .collect();
        let any = each.join("|");
        let pattern = Spanned::new(format!("^(?:{any})"), at);
        let prefix = Transform::Replace {
            pattern: Spanned::new(format!("^({any}).*$"), at),
            with: "${1}".to_owned(),
            all: false,
        };
        let prefix = expression(Value::Path, vec![prefix]);
        let prefix = Template(vec![TemplatePart::Expression(Spanned::new(prefix, at))]);
        let matches = Matcher::Regex {
            any_of: vec![pattern.clone()],
        };
        let actions = vec![
            set_header("X-Forwarded-Prefix", prefix),
            Action::ReplacePath {
                pattern,
                with: Template::text(""),
            },
        ];
        chain.when(test(Value::Path, matches, at), actions, at);
    }

    /// Says which of these are no regular expressions; true where all are.
    fn compile(&mut self, patterns: &[Spanned<String>]) -> bool {
        let mut good = true;
        for pattern in patterns {
            if Pattern::new(&pattern.value).is_err() {
                let message = format!(
                    "the regular expression `{}` does not compile",
                    pattern.value
                );
                self.error(Code::BadPattern, pattern.span, message);
                good = false;
            }
        }
        good
    }

    /// Users of the configuration and of a file, a line each.
    pub(super) fn lines_of_users(&mut self, section: &Section, at: Span) -> Vec<Spanned<String>> {
        let mut lines: Vec<Spanned<String>> = section.list("users").to_vec();
        if let Some(file) = section.some_text("usersFile") {
            let path = self.beside(file.span, file.value);
            match (self.inputs.read)(&path) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let of_file = text.lines().map(str::trim);
                    let of_file = of_file.filter(|it| !it.is_empty() && !it.starts_with('#'));
                    lines.extend(of_file.map(|line| Spanned::new(line.to_owned(), file.span)));
                }
                Err(reason) => {
                    let message = format!("cannot read `{path}`: {reason}");
                    self.error(Code::Unreadable, file.span, message);
                }
            }
        }
        if lines.is_empty() {
            self.error(
                Code::Missing,
                at,
                "nobody may pass: `users` and `usersFile` are missing",
            );
        }
        lines
    }

    /// Each `name:hash`.
    fn users(&mut self, section: &Section, at: Span) -> Vec<UserDraft> {
        let mut users: Vec<UserDraft> = Vec::new();
        for line in self.lines_of_users(section, at) {
            let Some((user, hash)) = line.value.split_once(':') else {
                let one = Diagnostic::error(Code::Syntax, line.span, "a user without a hash");
                self.found.push(one.help(
                    "such as `htpasswd -nB USER` prints; `$` is written `$$` in compose files",
                ));
                continue;
            };
            if !is_hash(hash) {
                let message = format!("the password hash of user `{user}` is none that can be");
                let one = Diagnostic::error(Code::OutOfRange, line.span, message);
                self.found.push(one.help(match hash.starts_with("$$") {
                    true => "write `$` for `$$`: it is doubled in compose files alone",
                    false => "`htpasswd -nB USER` prints one that can",
                }));
                continue;
            }
            let draft = UserDraft {
                name: Spanned::new(user.to_owned(), line.span),
                password: Spanned::new(Password::Crypt(hash.to_owned()), line.span),
                groups: Vec::new(),
            };
            // The last of a name counts.
            users.retain(|it| it.name != draft.name);
            users.push(draft);
        }
        users
    }

    fn ip_allow_list(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let ranges = section.list("sourceRange");
        if ranges.is_empty() {
            self.error(Code::Missing, at, "`sourceRange` is missing");
            return;
        }
        let any_of = match networks(ranges) {
            Ok(networks) => networks,
            Err(one) => {
                self.found.push(*one);
                return;
            }
        };
        let client = self.client(section.section("ipStrategy"));
        let allowed = test_of(client, Matcher::Address { any_of }, at);
        let status = section
            .number("rejectStatusCode")
            .map_or(403, |it| it.value);
        let status = u16::try_from(status).unwrap_or(0);
        let answer = text_answer(status, reason(status));
        let condition = Condition::Not(Box::new(allowed));
        chain.when(condition, vec![Action::Deny(answer)], at);
    }
}

/// True for a hash that some password may have: as long as its kind is. Of kinds that are not run it is said elsewhere.
fn is_hash(hash: &str) -> bool {
    let last = hash.rsplit('$').next().unwrap_or_default().len();
    match hash.as_bytes() {
        [b'$', b'2', _, b'$', ..] => hash.len() == 60,
        [b'{', b'S', b'H', b'A', b'}', ..] => hash.len() == 33,
        [b'$', b'1', b'$', ..] | [b'$', b'a', b'p', b'r', b'1', b'$', ..] => last == 22,
        [b'$', b'5', b'$', ..] => last == 43,
        [b'$', b'6', b'$', ..] => last == 86,
        _ => false,
    }
}

/// Says that a middleware does nothing.
pub(super) fn nothing(lowering: &mut Lowering<'_>, what: &str, at: Span) {
    let message = format!("`{what}` does nothing as it stands here");
    lowering.refused(Diagnostic::warning(Code::Unused, at, message));
}

impl Lowering<'_> {
    /// The client's address, as a strategy finds it.
    pub(super) fn client(&mut self, strategy: Option<&Section>) -> Expression<Named> {
        let Some(strategy) = strategy else {
            return Value::Source.into();
        };
        let depth = strategy.number("depth");
        if let Some(depth) = depth.filter(|depth| depth.value < 0) {
            self.error(Code::OutOfRange, depth.span, "a depth is below 0");
        }
        let forwarded_for = |part| Value::HeaderPart {
            of: Message::Request,
            name: "X-Forwarded-For".to_owned(),
            part,
        };
        let subnet = self.subnet(strategy);
        if let Some(depth) = depth.filter(|depth| depth.value > 0) {
            let from_end = -i32::try_from(depth.value).unwrap_or(i32::MAX);
            let item = forwarded_for(HeaderPart::Item(Some(from_end)));
            return expression(item, vec![subnet.unwrap_or(Transform::ADDRESS)]);
        }
        match strategy.list("excludedIPs") {
            [] => expression(Value::Source, subnet.into_iter().collect()),
            excluded => match networks(excluded) {
                Ok(networks) => {
                    let all = Value::Header("X-Forwarded-For".to_owned());
                    expression(
                        all,
                        vec![Transform::LastOutside(networks), Transform::ADDRESS],
                    )
                }
                Err(one) => {
                    self.found.push(*one);
                    Value::Source.into()
                }
            },
        }
    }
}

impl Lowering<'_> {
    /// What leaves only the subnet of an address of IPv6.
    fn subnet(&mut self, strategy: &Section) -> Option<Transform<Named>> {
        let said = strategy.number("ipv6Subnet")?;
        let excluded = strategy.get("excludedIPs");
        let excluded = excluded.filter(|_| !strategy.list("excludedIPs").is_empty());
        let unused = match u32::try_from(said.value).ok().filter(|it| *it <= 128) {
            None => "Traefik ignores an `ipv6Subnet` that is not 0 to 128".to_owned(),
            Some(_)
                if excluded.is_some()
                    && strategy.number("depth").is_none_or(|it| it.value == 0) =>
            {
                "beside `excludedIPs`, `ipv6Subnet` has no effect".to_owned()
            }
            Some(128) => return None,
            Some(bits) => {
                let v6 = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                return Some(Transform::Mask {
                    v4: Ipv4Addr::BROADCAST,
                    v6: Some(Ipv6Addr::from_bits(v6)),
                });
            }
        };
        let one = Diagnostic::warning(Code::Unused, said.span, unused);
        self.refused(one.help("a number of bits such as 64; or take it out"));
        None
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        _ => "Forbidden",
    }
}

/// Redirects what did not come with this scheme and port.
pub(super) fn redirect_scheme(
    chain: &mut Chain,
    scheme: &str,
    port: Option<&str>,
    permanent: bool,
    at: Span,
) {
    let usual = if scheme == "https" { "443" } else { "80" };
    let port = port.filter(|port| *port != usual);
    let proto = Value::Header("X-Forwarded-Proto".to_owned());
    let words = match scheme {
        "https" => ["https", "wss"],
        _ => ["http", "ws"],
    };
    let words = words.iter().map(|it| (*it).to_owned()).collect();
    let came_so = one_of(proto, words, false, at);
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let ports = match port {
        Some(port) => vec![number(port)],
        None => vec![0, number(usual)],
    };
    let any_of = ports
        .into_iter()
        .map(|it| NumberRange { min: it, max: it })
        .collect();
    let host_port = expression(Value::Header("Host".to_owned()), vec![Transform::HostPort]);
    let on_port = test_of(host_port, Matcher::Number { any_of }, at);
    let condition = Condition::Not(Box::new(Condition::All(vec![came_so, on_port])));
    redirect(chain, &condition, &at_scheme(scheme, port), permanent, at);
}

/// The same address with another scheme and port.
pub(super) fn at_scheme(scheme: &str, port: Option<&str>) -> Template<Named> {
    let mut parts = vec![
        TemplatePart::Text(format!("{scheme}://")),
        part(Value::Host),
    ];
    parts.extend(port.map(|port| TemplatePart::Text(format!(":{port}"))));
    parts.push(part(Value::Target));
    Template(parts)
}

/// A redirect keeps the method of what is no GET.
pub(super) fn redirect(
    chain: &mut Chain,
    condition: &Condition<Named>,
    location: &Template<Named>,
    permanent: bool,
    at: Span,
) {
    let (get, other) = if permanent { (301, 308) } else { (302, 307) };
    let is_get = one_of(Value::Method, vec!["GET".to_owned()], false, at);
    for (status, method) in [(get, Some(is_get)), (other, None)] {
        let redirect = Action::Redirect {
            location: location.clone(),
            status,
        };
        let condition = match method {
            Some(method) => Condition::All(vec![condition.clone(), method]),
            None => condition.clone(),
        };
        chain.when(condition, vec![redirect], at);
    }
}

/// An answer of a short text, as Go's `http.Error` gives it.
pub(super) fn text_answer(status: u16, text: &str) -> FixedResponse<Named> {
    FixedResponse {
        status,
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        body: AnswerBody::Text(Template::text(text)),
        headers: Vec::new(),
    }
}

pub(super) fn set_header(name: &str, value: Template<Named>) -> Action<Named> {
    Action::SetHeader {
        name: canonical(name),
        value,
    }
}

/// Sets a header that only Traefik may set: what the client sends under a name that targets may take for the same, with `_` for
/// `-`, goes no further.
pub(super) fn own_header(name: &str, value: Template<Named>) -> [Action<Named>; 2] {
    let letters = name.trim().chars().map(|letter| match letter {
        '-' | '_' => "[-_]".to_owned(),
        letter if letter.is_ascii_alphanumeric() => letter.to_string(),
        other => format!("\\x{:02x}", u32::from(other)),
    });
    let pattern = format!("^(?i:{})$", letters.collect::<String>());
    let alike = NamePattern::Regex(Spanned::bare(pattern));
    [Action::RemoveHeaders(alike), set_header(name, value)]
}

/// A header's name as Go writes it.
pub(super) fn canonical(name: &str) -> String {
    let words = name.trim().split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        first
            .into_iter()
            .chain(letters.map(|it| it.to_ascii_lowercase()))
            .collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// A template of one value.
pub(super) fn of(value: Value<Named>) -> Template<Named> {
    Template(vec![part(value)])
}

pub(super) fn part(value: Value<Named>) -> TemplatePart<Named> {
    TemplatePart::Expression(Spanned::bare(value.into()))
}

fn rooted(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    }
}
