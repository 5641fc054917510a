//! Rules of a proxy, whichever keyword they came by: which list they belong to, what they do, and the order of lists.

use super::keyword::missing;
use super::{Args, Proxy, ProxyKind};
use crate::haproxy::place::{Place, Side, Step as Moment};
use crate::haproxy::{Line, Reader, log_format};
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, Template};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// A list of rules, in the order in which lists are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    /// `tcp-request connection`.
    Connection,
    /// `tcp-request session`.
    Session,
    /// `tcp-request content`.
    Content,
    /// `http-request`.
    HttpRequest,
    /// `redirect`.
    Redirect,
    /// `use_backend`.
    UseBackend,
    /// `force-persist`.
    ForcePersist,
    /// `ignore-persist`.
    IgnorePersist,
    /// `use-server`.
    UseServer,
    /// `stick on`, `stick match`, `stick store-request`.
    StickRequest,
    /// `tcp-response content`.
    TcpResponse,
    /// `stick store-response`.
    StickResponse,
    /// `http-response`.
    HttpResponse,
    /// `http-after-response`.
    AfterResponse,
}

impl List {
    /// The keyword of the list.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            List::Connection => "tcp-request connection",
            List::Session => "tcp-request session",
            List::Content => "tcp-request content",
            List::HttpRequest => "http-request",
            List::Redirect => "redirect",
            List::UseBackend => "use_backend",
            List::ForcePersist => "force-persist",
            List::IgnorePersist => "ignore-persist",
            List::UseServer => "use-server",
            List::StickRequest => "stick",
            List::TcpResponse => "tcp-response content",
            List::StickResponse => "stick store-response",
            List::HttpResponse => "http-response",
            List::AfterResponse => "http-after-response",
        }
    }

    /// Where its expressions are evaluated.
    pub(crate) fn place(self, kind: ProxyKind) -> Place {
        let moment = match self {
            List::Connection => Moment::TcpConnection,
            List::Session => Moment::TcpSession,
            List::Content => Moment::TcpContent,
            List::UseServer | List::StickRequest => Moment::Server,
            List::UseBackend => Moment::UseBackend,
            List::HttpRequest | List::Redirect | List::ForcePersist | List::IgnorePersist => {
                Moment::HttpRequest
            }
            List::TcpResponse => Moment::TcpResponse,
            List::StickResponse | List::HttpResponse | List::AfterResponse => Moment::HttpResponse,
        };
        place(moment, kind)
    }
}

/// This moment in a section of this kind.
pub(crate) fn place(moment: Moment, kind: ProxyKind) -> Place {
    let side = match kind {
        ProxyKind::Frontend => Side::Frontend,
        ProxyKind::Backend => Side::Backend,
        ProxyKind::Defaults | ProxyKind::Listen => Side::Listen,
    };
    Place::new(moment, side)
}

/// What a rule does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These actions, of which the last may answer.
    Do(Vec<Action<Named>>),
    /// Ends its list; the next list runs.
    Pass,
    /// The backend of this name.
    Backend(Spanned<String>),
    /// The backend whose name comes out.
    BackendByName(Template<Named>),
    /// The server of this name serves.
    Server(Template<Named>),
    /// Persistence is forced or ignored, as the list says.
    Persist,
    /// The PROXY protocol is expected.
    ExpectProxy,
    /// Waits, then answers.
    Tarpit(portway_model::action::FixedResponse<Named>),
    /// Asks for authorization, with this realm.
    Authorize(Option<String>),
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct RuleLine {
    pub(crate) list: List,
    pub(crate) step: Step,
    pub(crate) condition: Condition<Named>,
    pub(crate) span: Span,
}

/// Adds a rule of `list`, and warns where it stands behind a rule that runs later.
pub(crate) fn add(
    proxy: &mut Proxy,
    list: List,
    step: Step,
    condition: Condition<Named>,
    span: Span,
    reader: &mut Reader<'_>,
) {
    warn_order(proxy, (list.as_str(), list), span, reader);
    proxy.rules.push(RuleLine {
        list,
        step,
        condition,
        span,
    });
}

/// Warns where something that runs with a list stands behind a rule that runs later.
pub(super) fn warn_order(
    proxy: &Proxy,
    (what, list): (&str, List),
    span: Span,
    reader: &mut Reader<'_>,
) {
    let later = proxy
        .rules
        .iter()
        .find(|rule| rule.list > list && ordered(rule.list, list));
    if let Some(later) = later {
        let message = format!(
            "a `{what}` rule behind a `{}` rule still runs before it",
            later.list.as_str()
        );
        let warning = Diagnostic::warning(Code::Unreachable, span, message)
            .label(later.span, "this one runs later")
            .help(
                "the order of the lists is fixed; write the rules in the order in which they run",
            );
        reader.push(warning);
    }
}

/// Whether both lists belong to the way of a request.
fn ordered(a: List, b: List) -> bool {
    let request = |list: List| list <= List::UseBackend;
    request(a) && request(b)
}

/// What is left of a line must be a condition, or nothing. `None`: it is neither, and was said so.
pub(crate) fn condition(
    proxy: &Proxy,
    list: List,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Condition<Named>> {
    if args.is_empty() {
        return Some(Condition::All(Vec::new()));
    }
    if !args.at_condition() {
        let message = format!(
            "`{}` is not expected here: `if` or `unless` with a condition may follow",
            args.text()
        );
        reader.error(Code::Syntax, args.span(), message);
        return None;
    }
    proxy
        .acls
        .condition(args.rest(), list.place(proxy.kind), reader)
}

/// Reads the condition of an action that has no effect, for what HAProxy would refuse in it.
pub(super) fn hold_condition(
    proxy: &Proxy,
    list: List,
    mut args: Args<'_>,
    reader: &mut Reader<'_>,
) {
    while !args.at_condition() && args.next().is_some() {}
    condition(proxy, list, &mut args, reader);
}

/// Says what is left of a line. `None`: something was.
pub(super) fn nothing_left(args: &Args<'_>, reader: &mut Reader<'_>) -> Option<()> {
    let word = args.peek();
    if let Some(word) = word {
        let message = format!("`{}` is not expected here", word.text);
        reader.error(Code::Syntax, word.span, message);
    }
    word.is_none().then_some(())
}

/// `use_backend NAME [if|unless …]`.
pub(super) fn use_backend(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(name) = line.word(1) else {
        missing(line, "the name of a backend", reader);
        return;
    };
    let Some(condition) = condition(proxy, List::UseBackend, &mut Args::new(line, 2), reader)
    else {
        return;
    };
    let step = if name.as_str().contains("%[") {
        let Some(template) = log_format::template(name, List::UseBackend.place(proxy.kind), reader)
        else {
            return;
        };
        Step::BackendByName(template)
    } else {
        Step::Backend(name.spanned(name.text.clone()))
    };
    add(proxy, List::UseBackend, step, condition, line.span, reader);
}

/// `use-server NAME if|unless …`.
pub(super) fn use_server(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 2);
    let Some(name) = line.word(1).filter(|_| args.at_condition()) else {
        missing(line, "the name of a server and a condition", reader);
        return;
    };
    let place = List::UseServer.place(proxy.kind);
    let Some(name) = log_format::template(name, place, reader) else {
        return;
    };
    let Some(condition) = condition(proxy, List::UseServer, &mut args, reader) else {
        return;
    };
    add(
        proxy,
        List::UseServer,
        Step::Server(name),
        condition,
        line.span,
        reader,
    );
}

/// `force-persist if …`, `ignore-persist if …`.
pub(super) fn persist(proxy: &mut Proxy, line: &Line, list: List, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 1);
    if !args.at_condition() {
        missing(line, "a condition", reader);
        return;
    }
    if let Some(condition) = condition(proxy, list, &mut args, reader) {
        add(proxy, list, Step::Persist, condition, line.span, reader);
    }
}
