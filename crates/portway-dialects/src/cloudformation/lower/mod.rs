//! From resources to listeners, target groups and certificates.
//!
//! The names are the logical ids. A resource that is incomplete, because a value is not given or was wrong, is left out
//! with all that needs it: the diagnostic is already there.

mod actions;
mod app_cookie;
mod certificates;
mod classic;
mod conditions;
mod group;
mod group_cookie;
mod group_health;
mod grpc;
mod jwt;
mod listener;
mod security;
mod text;

use super::given::{Book, Kind, Unset};
use super::object::Object;
use super::table::{Env, Resource as Row};
use super::template::Declared;
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::Draft;
use portway_model::name::Name;
use portway_model::settings::Tags;
use portway_model::span::{Span, Spanned};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const LISTENER: &str = "AWS::ElasticLoadBalancingV2::Listener";
const BALANCER: &str = "AWS::ElasticLoadBalancingV2::LoadBalancer";
const RULE: &str = "AWS::ElasticLoadBalancingV2::ListenerRule";
const LISTENER_CERTIFICATE: &str = "AWS::ElasticLoadBalancingV2::ListenerCertificate";
const GROUP: &str = "AWS::ElasticLoadBalancingV2::TargetGroup";
const CLASSIC: &str = "AWS::ElasticLoadBalancing::LoadBalancer";
const SECURITY_GROUP: &str = "AWS::EC2::SecurityGroup";
const INGRESS: &str = "AWS::EC2::SecurityGroupIngress";
const ACM: &str = "AWS::CertificateManager::Certificate";
const IAM: &str = "AWS::IAM::ServerCertificate";

/// A resource with its properties.
pub(super) struct Resource {
    id: String,
    span: Span,
    kind: &'static str,
    object: Object,
    /// The texts that references to it come to.
    identities: Vec<String>,
}

impl Resource {
    pub(super) fn new(
        declared: &Declared<'_>,
        row: &'static Row,
        object: Object,
        env: &Env,
    ) -> Self {
        let mut identities = vec![row.reference.text(env, declared.id)];
        if let Some((_, form)) = row.identity {
            identities.push(form.text(env, declared.id));
        }
        Self {
            id: declared.id.to_owned(),
            span: declared.span,
            kind: row.name,
            object,
            identities,
        }
    }

    /// Something that counts is not given, or was wrong.
    pub(super) fn is_incomplete(&self) -> bool {
        self.object.incomplete
    }

    fn name(&self) -> Spanned<Name> {
        Spanned::new(Name::new(self.id.as_str()), self.span)
    }
}

/// Makes the draft.
pub(super) fn lower(resources: &[Resource], book: &mut Book<'_>, found: &mut Diagnostics) -> Draft {
    let identities = resources.iter().enumerate().flat_map(|(index, resource)| {
        let texts = resource.identities.iter();
        texts.map(move |text| (text.as_str(), index))
    });
    let mut lowering = Lowering {
        resources,
        index: identities.collect(),
        book,
        found,
        draft: Draft::default(),
        idle: HashMap::new(),
        secured: HashMap::new(),
        sharing: BTreeSet::new(),
        said: BTreeSet::new(),
    };
    for resource in resources {
        // So that a target for what is left out is not called unknown.
        if matches!(resource.kind, GROUP | CLASSIC) {
            lowering.book.all(Kind::Target, &resource.id);
            let listed = resource.object.objects("Targets").iter();
            let listed = listed.filter_map(|it| it.text("Id")).map(|it| it.value);
            let instances = resource.object.texts("Instances").iter();
            for id in listed.chain(instances.map(|it| it.value.as_str())) {
                lowering.book.all(Kind::Target, id);
            }
        }
        if matches!(resource.kind, BALANCER | CLASSIC) {
            lowering.book.all(Kind::Bind, &resource.id);
        }
    }
    for resource in lowering.of_kind(LISTENER) {
        lowering.listener(resource);
    }
    lowering.rules_without_listener();
    for resource in lowering.of_kind(GROUP) {
        lowering.group(resource);
    }
    for resource in lowering.of_kind(CLASSIC) {
        lowering.classic(resource);
    }
    lowering.draft
}

struct Lowering<'r, 'g, 'b> {
    resources: &'r [Resource],
    /// Resources by the texts that references come to.
    index: HashMap<&'r str, usize>,
    book: &'b mut Book<'g>,
    found: &'b mut Diagnostics,
    draft: Draft,
    /// How long the load balancer before a target group waits, by the group's logical id.
    idle: HashMap<&'r str, Duration>,
    /// Target groups to which an HTTPS listener forwards, with the place of its protocol.
    secured: HashMap<&'r str, Span>,
    /// Target groups that share what comes with others.
    sharing: BTreeSet<&'r str>,
    /// What was said once.
    said: BTreeSet<(String, u32)>,
}

/// What a reference leads to.
enum Found<'r> {
    Resource(&'r Resource),
    /// It is there but incomplete, or something else; that was said.
    Lost,
}

impl<'r> Lowering<'r, '_, '_> {
    /// The resources of a kind that are complete.
    fn of_kind(&self, kind: &'static str) -> Vec<&'r Resource> {
        let resources = self.resources.iter();
        let complete = resources.filter(|it| it.kind == kind && !it.object.incomplete);
        complete.collect()
    }

    /// The resource that a text refers to, whatever its kind.
    fn referred(&self, text: &str) -> Option<&'r Resource> {
        self.resources.get(*self.index.get(text)?)
    }

    /// The resource of this kind that a text refers to; `None`: no template has it.
    fn find(&mut self, kind: &'static str, text: Spanned<&str>) -> Option<Found<'r>> {
        let resource = self.referred(text.value)?;
        if resource.kind != kind {
            let message = format!(
                "`{}` is an {}, and an {kind} is expected",
                resource.id, resource.kind
            );
            self.error(Code::WrongType, text.span, message);
            return Some(Found::Lost);
        }
        Some(match resource.object.incomplete {
            true => Found::Lost,
            false => Found::Resource(resource),
        })
    }

    /// As [`Self::find`]; says what is missing where there is none.
    fn needed(
        &mut self,
        kind: &'static str,
        text: Spanned<&str>,
        what: &str,
    ) -> Option<&'r Resource> {
        match self.find(kind, text) {
            Some(Found::Resource(resource)) => Some(resource),
            Some(Found::Lost) => None,
            None => {
                let message = format!("no template has the {what} `{}`", text.value);
                self.missing(text.span, message, "name the template that has it, too");
                None
            }
        }
    }

    /// Something is not there: an error, or a warning where the caller wants no more.
    fn missing(&mut self, span: Span, message: String, help: &str) {
        let diagnostic = match self.book.unset() {
            Unset::Refused => Diagnostic::error(Code::Missing, span, message),
            Unset::Warned => Diagnostic::warning(Code::Missing, span, message),
        };
        self.say_once(diagnostic.help(help));
    }

    /// Where the listeners of a load balancer accept: where is said, else on every address.
    fn bind(
        &mut self,
        balancer: Option<&Resource>,
        both: bool,
        port: Spanned<u16>,
    ) -> Spanned<BindAddress> {
        let mut ip = (!both).then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let given = balancer.and_then(|it| Some((it, self.book.one(Kind::Bind, &it.id)?)));
        if let Some((balancer, given)) = given {
            match given.parse() {
                Ok(given) => ip = Some(given),
                Err(_) => {
                    let message = format!("--bind {}: `{given}` is no address", balancer.id);
                    self.error(Code::WrongType, balancer.span, message);
                }
            }
        }
        Spanned::new(BindAddress::tcp(ip, port.value), port.span)
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.say_once(Diagnostic::error(code, span, message));
    }

    /// Adds a diagnostic unless it was said before: a security group is looked at for each listener.
    fn say_once(&mut self, diagnostic: Diagnostic) {
        let start = diagnostic.labels.first().map_or(0, |it| it.span.start);
        if self.said.insert((diagnostic.message.clone(), start)) {
            self.found.push(diagnostic);
        }
    }
}

/// The tags of these, of one name those of the last.
fn tags<'o>(objects: impl IntoIterator<Item = &'o Object>) -> Option<Spanned<Tags>> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut place = None;
    for object in objects {
        place = object.place("Tags").or(place);
        for tag in object.objects("Tags") {
            let Some(name) = tag.text("Key") else {
                continue;
            };
            let value = tag.text("Value").map_or("", |it| it.value);
            all.retain(|(known, _)| known != name.value);
            all.push((name.value.to_owned(), value.to_owned()));
        }
    }
    Some(Spanned::new(Tags(all), place?))
}

/// A value that a property says, or that AWS says where it does not.
fn bare<T>(value: T) -> Option<Spanned<T>> {
    Some(Spanned::bare(value))
}
