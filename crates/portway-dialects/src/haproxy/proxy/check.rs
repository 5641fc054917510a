//! How the servers of a backend are checked: `option httpchk` and its like, and `http-check`.

use super::Proxy;
use super::check_rule::{self, CheckRule};
use super::keyword::{extra, missing};
use crate::haproxy::{Line, Reader};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::CheckedService;
use portway_model::expression::Template;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// What is done with a server to see whether it lives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CheckMethod {
    /// `option httpchk`, with this request.
    Http(HttpCheckRequest),
    /// `option tcp-check`.
    Tcp,
    /// A service that is known.
    Service(CheckedService),
}

/// The request of `option httpchk`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpCheckRequest {
    pub(crate) method: String,
    pub(crate) target: Template<Named>,
    pub(crate) version: String,
    /// Headers behind the version, the way of old.
    pub(crate) headers: Vec<(String, Template<Named>)>,
    pub(crate) body: Template<Named>,
}

impl Default for HttpCheckRequest {
    fn default() -> Self {
        Self {
            method: "OPTIONS".to_owned(),
            target: Template::text("/"),
            version: "HTTP/1.0".to_owned(),
            headers: Vec::new(),
            body: Template::text(""),
        }
    }
}

/// Checks of a backend.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckSettings {
    pub(crate) method: Option<Spanned<CheckMethod>>,
    pub(crate) http_rules: Vec<CheckRule>,
    pub(crate) tcp_rules: Vec<CheckRule>,
    pub(crate) disable_on_404: Option<Spanned<bool>>,
    pub(crate) send_state: bool,
    /// The steps are those of a `defaults` section.
    inherited: bool,
    /// The request of `option httpchk` is that of a `defaults` section.
    request_inherited: bool,
}

impl CheckSettings {
    /// As a proxy takes them over from its `defaults`.
    pub(super) fn inherited(&self) -> Self {
        Self {
            inherited: true,
            request_inherited: true,
            ..self.clone()
        }
    }

    /// A proxy with a step or a method of its own has no steps of its `defaults`.
    pub(super) fn begin_own(&mut self) {
        if !std::mem::replace(&mut self.inherited, false) {
            return;
        }
        self.http_rules.clear();
        self.tcp_rules.clear();
    }

    /// A proxy with a request of its own completes it from nothing that its `defaults` say.
    pub(super) fn begin_own_request(&mut self) {
        if !std::mem::replace(&mut self.request_inherited, false) {
            return;
        }
        if let Some(method) = &mut self.method
            && let CheckMethod::Http(request) = &mut method.value
        {
            *request = HttpCheckRequest::default();
        }
    }
}

/// `option httpchk` and the other options that say how.
pub(super) fn option(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let method = match line.text(1) {
        "httpchk" => http_request(line).map(CheckMethod::Http),
        "tcp-check" => Some(CheckMethod::Tcp),
        "ssl-hello-chk" => Some(CheckMethod::Service(CheckedService::SslHello)),
        "redis-check" => Some(CheckMethod::Service(CheckedService::Redis)),
        "ldap-check" => Some(CheckMethod::Service(CheckedService::Ldap)),
        "smtpchk" => Some(CheckMethod::Service(smtp(line))),
        "mysql-check" => mysql(line, reader),
        _ => postgres(line, reader),
    };
    // How many words each takes.
    let last = match line.text(1) {
        "httpchk" | "mysql-check" => 5,
        "pgsql-check" | "smtpchk" => 4,
        _ => 2,
    };
    extra(line, last, reader);
    if let Some(method) = method {
        proxy.check.begin_own();
        proxy.check.request_inherited = false;
        proxy.check.method = Some(Spanned::new(method, line.span));
    }
}

/// `httpchk [URI | METHOD URI [VERSION…]]`.
fn http_request(line: &Line) -> Option<HttpCheckRequest> {
    let mut request = HttpCheckRequest::default();
    match (line.word(2), line.word(3)) {
        (None, _) => {}
        (Some(uri), None) => request.target = Template::text(uri.text.clone()),
        (Some(method), Some(uri)) => {
            request.method.clone_from(&method.text);
            request.target = Template::text(uri.text.clone());
        }
    }
    if let Some(version) = line.word(4) {
        let rest: Vec<&str> = line.from(4).iter().map(|word| word.as_str()).collect();
        let rest = rest.join(" ");
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((&rest, ""));
        let mut lines = head.split("\r\n");
        request.version = lines.next().unwrap_or(version.as_str()).trim().to_owned();
        request.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), Template::text(value.trim())))
            .collect();
        request.body = Template::text(body);
    }
    Some(request)
}

/// `smtpchk [HELO|EHLO DOMAIN]`: anything else is `HELO localhost`.
fn smtp(line: &Line) -> CheckedService {
    let (hello, domain) = match (line.text(2), line.text(3)) {
        (hello @ ("HELO" | "EHLO"), domain) if !domain.is_empty() => (hello, domain),
        _ => ("HELO", "localhost"),
    };
    CheckedService::Smtp {
        hello: hello.to_owned(),
        domain: domain.to_owned(),
    }
}

/// `mysql-check [user NAME [post-41|pre-41]]`.
fn mysql(line: &Line, reader: &mut Reader<'_>) -> Option<CheckMethod> {
    let user = match (line.text(2), line.word(3)) {
        ("", _) => None,
        ("user", Some(user)) => Some(user.text.clone()),
        _ => {
            missing(line, "`user` and a name", reader);
            return None;
        }
    };
    let post_41 = match line.text(4) {
        "" | "post-41" => true,
        "pre-41" => false,
        other => {
            let span = line.word(4).map_or(line.span, |word| word.span);
            reader.push(crate::unknown_word(
                span,
                "version of MySQL",
                other,
                ["post-41", "pre-41"],
            ));
            return None;
        }
    };
    Some(CheckMethod::Service(CheckedService::Mysql {
        user,
        post_41,
    }))
}

/// `pgsql-check user NAME`.
fn postgres(line: &Line, reader: &mut Reader<'_>) -> Option<CheckMethod> {
    let ("user", Some(user)) = (line.text(2), line.word(3)) else {
        missing(line, "`user` and a name", reader);
        return None;
    };
    Some(CheckMethod::Service(CheckedService::Postgres {
        user: user.text.clone(),
    }))
}

/// `http-check …`.
pub(super) fn http_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    match line.text(1) {
        "disable-on-404" => {
            extra(line, 2, reader);
            proxy.check.disable_on_404 = Some(Spanned::new(true, line.span));
        }
        "send-state" => {
            extra(line, 2, reader);
            proxy.check.send_state = true;
        }
        "comment" | "connect" | "send" | "expect" => check_rule::http_line(proxy, line, reader),
        other if check_rule::is_variable_step(other) => {
            check_rule::http_line(proxy, line, reader);
        }
        "" => missing(line, "`send`, `expect`, `connect` or another word", reader),
        other => {
            let known = [
                "send",
                "expect",
                "connect",
                "comment",
                "disable-on-404",
                "send-state",
                "set-var",
                "unset-var",
            ];
            let span = line.word(1).map_or(line.span, |word| word.span);
            let found = Diagnostic::error(
                Code::Unknown,
                span,
                format!("unknown word of `http-check`: `{other}`"),
            );
            reader.push(found.nearest(other, known));
        }
    }
}
