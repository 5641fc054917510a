//! Security groups of load balancers: which clients a listener lets in.

use super::{Found, INGRESS, Lowering, SECURITY_GROUP};
use crate::cloudformation::given::Kind;
use crate::cloudformation::object::Object;
use ipnet::IpNet;
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::expression::{Condition, Expression, Matcher, Test, Value};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;

impl Lowering<'_, '_, '_> {
    /// What keeps clients away that no security group lets in. `strict`: without groups AWS lets
    /// nobody in, as with an application load balancer. `both`: clients come by IPv6 too. `subject`: what clients reach.
    pub(super) fn filter(
        &mut self,
        groups: &[Spanned<String>],
        place: Option<Span>,
        port: Spanned<u16>,
        (strict, both): (bool, bool),
        subject: &str,
    ) -> Option<Filter> {
        if groups.is_empty() {
            if strict {
                let message = "the load balancer has no `SecurityGroups`: everybody may connect";
                let span = place.unwrap_or(port.span);
                let warning = Diagnostic::warning(Code::Missing, span, message);
                let help = "AWS takes the default group of the VPC, which is not known here";
                self.say_once(warning.help(help));
            }
            return None;
        }
        let mut networks: Vec<IpNet> = Vec::new();
        let mut known = false;
        let mut reached = false;
        let mut unknown: Vec<Spanned<&str>> = Vec::new();
        for group in groups {
            let id = group.as_ref().map(String::as_str);
            match self.find(SECURITY_GROUP, id) {
                // What is incomplete might let somebody in.
                Some(Found::Lost) => return None,
                Some(Found::Resource(resource)) => {
                    known = true;
                    for rule in resource.object.objects("SecurityGroupIngress") {
                        reached |= self.ingress(rule, port.value, &mut networks);
                    }
                    for more in self.of_kind(INGRESS) {
                        let target = more.object.text("GroupId");
                        let target = target.and_then(|id| self.referred(id.value));
                        if target.is_some_and(|it| std::ptr::eq(it, resource)) {
                            reached |= self.ingress(&more.object, port.value, &mut networks);
                        }
                    }
                }
                None => {
                    let given = self.book.all(Kind::SourceGroup, group.value.as_str());
                    match given.is_empty() {
                        true => unknown.push(id),
                        false => (known, reached) = (true, true),
                    }
                    self.given_networks(&given, group.span, &mut networks);
                }
            }
        }
        // Where no group is known, nobody could use such a listener.
        let then = match known {
            true => "it lets nobody in",
            false => "everybody may connect",
        };
        for group in unknown {
            let name = group.value;
            let message = format!("no template has the security group `{name}`: {then}");
            let help = format!("say whom it lets in: --source-group {name}=CIDR");
            let warning = Diagnostic::warning(Code::Missing, group.span, message);
            self.say_once(warning.help(help));
        }
        if !known {
            return None;
        }
        if !reached {
            let message = format!("no security group lets anybody reach {subject}");
            let span = place.unwrap_or(port.span);
            let warning = Diagnostic::warning(Code::Unused, span, message);
            self.say_once(warning.label(port.span, "the port"));
        }
        refuse_others(networks, both, port.span)
    }

    /// Adds the networks that a rule lets in on this port; false where it is about others.
    fn ingress(&mut self, rule: &Object, port: u16, networks: &mut Vec<IpNet>) -> bool {
        let protocol = rule.text("IpProtocol").map_or("", |it| it.value);
        let any = protocol == "-1";
        if !any && !protocol.eq_ignore_ascii_case("tcp") && protocol != "6" {
            return false;
        }
        let first: Option<Spanned<i64>> = rule.number("FromPort");
        let last: Option<Spanned<i64>> = rule.number("ToPort");
        if !any {
            let (Some(first), Some(last)) = (first, last) else {
                let message = "a rule about TCP has `FromPort` and `ToPort`";
                self.error(Code::Missing, rule.span, message);
                return true;
            };
            let all = first.value == -1 || last.value == -1;
            if !all && first.value > last.value {
                let message = format!(
                    "`FromPort` {} is above `ToPort` {}",
                    first.value, last.value
                );
                self.error(Code::OutOfRange, first.span, message);
                return true;
            }
            if !all && !(first.value..=last.value).contains(&i64::from(port)) {
                return false;
            }
        }
        let mut said = false;
        for name in ["CidrIp", "CidrIpv6"] {
            if let Some(text) = rule.text(name) {
                said = true;
                networks.extend(self.network(text));
            }
        }
        for name in [
            "SourceSecurityGroupId",
            "SourceSecurityGroupName",
            "SourcePrefixListId",
        ] {
            if let Some(source) = rule.text(name) {
                said = true;
                self.source(source, networks);
            }
        }
        if !said {
            let message = "a rule says whom it lets in: `CidrIp`, `CidrIpv6` or a source group";
            self.error(Code::Missing, rule.span, message);
        }
        true
    }

    /// Adds the networks of the members of a group.
    fn source(&mut self, source: Spanned<&str>, networks: &mut Vec<IpNet>) {
        let resource = self.referred(source.value);
        let name = resource
            .map_or(source.value, |it| it.id.as_str())
            .to_owned();
        let given = self.book.all(Kind::SourceGroup, &name);
        if given.is_empty() {
            let message = format!("the addresses of the members of `{name}` are not known");
            let help = format!("say them: --source-group {name}=CIDR");
            self.missing(source.span, message, &help);
        }
        self.given_networks(&given, source.span, networks);
    }

    fn given_networks(&mut self, given: &[&str], span: Span, networks: &mut Vec<IpNet>) {
        for text in given.iter().flat_map(|text| text.split(',')) {
            networks.extend(self.network(Spanned::new(text.trim(), span)));
        }
    }
}

/// Packets from elsewhere vanish, and where the sockets are another's, connections are closed.
pub(super) struct Filter {
    rule: Rule<Named>,
    networks: Vec<IpNet>,
}

impl Filter {
    pub(super) fn put(self, listener: &mut ListenerDraft) {
        let span = self.rule.origin.0;
        listener.socket.packets_from = Some(Spanned::new(self.networks, span));
        listener.rules.push(self.rule);
    }
}

/// Nothing where everybody is let in.
fn refuse_others(networks: Vec<IpNet>, both: bool, span: Span) -> Option<Filter> {
    let mut any_of = IpNet::aggregate(&networks);
    any_of.sort();
    let all_of = |v4: bool| {
        let mut whole = any_of.iter().filter(|it| it.prefix_len() == 0);
        whole.any(|it| it.addr().is_ipv4() == v4)
    };
    if all_of(true) && (all_of(false) || !both) {
        return None;
    }
    let condition = match any_of.is_empty() {
        true => Condition::All(Vec::new()),
        false => {
            let test = Test {
                expression: Expression::from(Value::Source),
                matcher: Matcher::Address {
                    any_of: any_of.clone(),
                },
            };
            Condition::Not(Box::new(Condition::Test(Spanned::new(test, span))))
        }
    };
    let rule = Rule {
        phase: Phase::Connection,
        condition,
        actions: vec![Action::Reject { silent: false }],
        origin: Origin(span),
        places: Places::default(),
    };
    Some(Filter {
        rule,
        networks: any_of,
    })
}
