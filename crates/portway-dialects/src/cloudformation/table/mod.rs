//! Every section, resource type, property and attribute, and what becomes of each here.
//!
//! The tables are the one place where a property's state stands; `docs/cloudformation.md` is made of them. What is not
//! [`State::Supported`] is said, once, with the reason; nothing is ignored silently.

mod certificates;
mod classic;
mod elbv2;
mod groups;
#[cfg(test)]
mod reference;

use std::fmt::Write;

/// What becomes of a property, or of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It does what it does at AWS.
    Supported,
    /// The same, but for this.
    Except(&'static str),
    /// It changes nothing here, for this reason.
    NoEffect(&'static str),
    /// It is refused until it is done.
    NotYet,
    /// It is refused for good, for this reason.
    Refused(&'static str),
}

/// What a property takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    /// A whole number in this range.
    Number(i64, i64),
    Boolean,
    /// A list of texts.
    Texts,
    Object(&'static [Property]),
    /// A list of objects.
    Objects(&'static [Property]),
    /// A list of objects with `Key` and `Value`; these are the keys.
    Attributes(&'static [Property]),
    /// Anything; it is not looked at.
    Any,
}

/// A property of a resource or of an object within it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) state: State,
}

/// What a reference to a resource gives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reference {
    /// An ARN of this service, with this before the logical id.
    Arn(&'static str, &'static str),
    /// An id with this prefix.
    Id(&'static str),
    /// A name.
    Name,
}

/// A type of resources.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    /// What `Ref` gives.
    pub(crate) reference: Reference,
    /// An attribute that says which resource it is, and its form, beside `Ref`.
    pub(crate) identity: Option<(&'static str, Reference)>,
    /// What `Fn::GetAtt` knows.
    pub(crate) attributes: &'static [&'static str],
    pub(crate) properties: &'static [Property],
}

/// What ARNs are made of.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) stack: String,
}

/// Rows: the name, `required`, what it takes, its state.
macro_rules! properties {
    ($($name:literal $($required:ident)? : $kind:expr => $state:expr;)*) => {
        &[$(Property {
            name: $name,
            kind: $kind,
            required: properties!(@ $($required)?),
            state: $state,
        },)*]
    };
    (@ required) => { true };
    (@) => { false };
}
use properties;

use Kind::Any;
use State::{NoEffect, Refused, Supported};

/// Labels for people, of what nothing shows by itself.
const TAGS: State = NoEffect("nothing shows it by itself");

/// Those of listeners and target groups.
const TAG: &[Property] = properties! {
    "Key" required: Kind::Text => Supported;
    "Value": Kind::Text => Supported;
};
const SHOWN: State = State::Except("`/status` shows them");

/// Sections of a template.
pub(crate) const SECTIONS: &[Property] = properties! {
    "AWSTemplateFormatVersion": Any => Supported;
    "Description": Any => NoEffect("it is for people");
    "Metadata": Any => NoEffect("it is for people and consoles");
    "Parameters": Any => Supported;
    "Rules": Any => State::Except("`Fn::RefAll`, `Fn::ValueOf` and `Fn::ValueOfAll` need an account: a rule with them is not looked at");
    "Mappings": Any => Supported;
    "Conditions": Any => Supported;
    "Transform": Any => Refused("macros run at AWS: take the processed template");
    "Hooks": Any => Refused("they need CloudFormation");
    "Resources" required: Any => Supported;
    "Outputs": Any => State::Except("values are checked and exports are known to templates named after this one; nothing prints them");
};

/// Keys of a parameter.
pub(crate) const PARAMETER: &[Property] = properties! {
    "Type" required: Any => State::Except("types of the Parameter Store need a value by `--param`");
    "Default": Any => Supported;
    "AllowedValues": Any => Supported;
    "AllowedPattern": Any => Supported;
    "MinLength": Any => Supported;
    "MaxLength": Any => Supported;
    "MinValue": Any => Supported;
    "MaxValue": Any => Supported;
    "ConstraintDescription": Any => Supported;
    "NoEcho": Any => Supported;
    "Description": Any => NoEffect("it is for people");
};

/// Keys of a resource.
pub(crate) const RESOURCE: &[Property] = properties! {
    "Type" required: Any => Supported;
    "Properties": Any => Supported;
    "Condition": Any => Supported;
    "DependsOn": Any => State::Except("circles are found; nothing is made in an order");
    "DeletionPolicy": Any => NoEffect("what a template does not say any more is gone at the next start");
    "UpdateReplacePolicy": Any => NoEffect("what a template does not say any more is gone at the next start");
    "UpdatePolicy": Any => NoEffect("it is about other types");
    "CreationPolicy": Any => NoEffect("it is about other types");
    "Metadata": Any => NoEffect("it is for people and consoles");
};

/// Keys of a rule of the section `Rules`.
pub(crate) const RULE: &[Property] = properties! {
    "RuleCondition": Any => Supported;
    "Assertions": Any => Supported;
};

/// Keys of an output.
pub(crate) const OUTPUT: &[Property] = properties! {
    "Value" required: Any => Supported;
    "Description": Any => NoEffect("it is for people");
    "Export": Any => Supported;
    "Condition": Any => Supported;
};

/// Every type of resources that we know.
pub(crate) const RESOURCES: &[&Resource] = &[
    &elbv2::LOAD_BALANCER,
    &elbv2::LISTENER,
    &elbv2::LISTENER_CERTIFICATE,
    &elbv2::LISTENER_RULE,
    &elbv2::TARGET_GROUP,
    &elbv2::TRUST_STORE,
    &elbv2::TRUST_STORE_REVOCATION,
    &classic::LOAD_BALANCER,
    &groups::SECURITY_GROUP,
    &groups::INGRESS,
    &groups::EGRESS,
    &certificates::ACM,
    &certificates::IAM,
];

/// The type of this name.
pub(crate) fn resource(name: &str) -> Option<&'static Resource> {
    RESOURCES.iter().copied().find(|row| row.name == name)
}

impl Resource {
    /// The attribute of this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&'static str> {
        self.attributes.iter().copied().find(|known| *known == name)
    }

    /// True where an attribute says which resource it is.
    pub(crate) fn identifies(&self, attribute: &str) -> bool {
        self.identity.is_some_and(|(name, _)| name == attribute)
    }

    /// The text of such an attribute.
    pub(crate) fn identity(&self, attribute: &str, env: &Env, id: &str) -> String {
        let form = self.identity.filter(|(name, _)| *name == attribute);
        let form = form.map_or(self.reference, |(_, form)| form);
        form.text(env, id)
    }
}

impl Reference {
    /// The text for a resource.
    pub(crate) fn text(self, env: &Env, id: &str) -> String {
        let Env {
            partition,
            region,
            account,
            stack,
        } = env;
        let number = number(stack, id);
        match self {
            Reference::Arn("iam", before) => {
                format!("arn:{partition}:iam::{account}:{before}/{id}")
            }
            Reference::Arn(service, before) => {
                format!("arn:{partition}:{service}:{region}:{account}:{before}/{id}/{number:016x}")
            }
            Reference::Id(prefix) => format!("{prefix}-{number:017x}"),
            Reference::Name => format!("{stack}-{id}"),
        }
    }
}

/// Letters that stand for a name and do not tell it.
pub(crate) fn opaque(purpose: &str, name: &str) -> String {
    format!(
        "{:016x}{:016x}",
        number(purpose, name),
        number(name, purpose)
    )
}

/// A number that is always the same for a resource of a stack (FNV-1a).
fn number(stack: &str, id: &str) -> u64 {
    let bytes = stack.bytes().chain([0]).chain(id.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl State {
    /// Why a property in this state is refused; `None`: it is not.
    pub(crate) fn refusal(self, what: &str) -> Option<String> {
        let mut message = what.to_owned();
        match self {
            State::Supported | State::Except(_) | State::NoEffect(_) => return None,
            State::NotYet => message.push_str(" is not done yet"),
            // Writing to a String cannot fail.
            State::Refused(why) => drop(write!(message, " is not run here: {why}")),
        }
        Some(message)
    }
}
