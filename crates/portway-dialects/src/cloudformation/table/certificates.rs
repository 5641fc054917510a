//! Certificates.

use super::Kind::{Any, Text, Texts};
use super::State::{NoEffect, Supported};
use super::{Property, Reference, Resource, State, TAGS, properties};

const BY_FILE: State = NoEffect("`--certificate` names the file with the certificate");

const NAMES: State = State::Except("a warning says where the file's certificate is not for it");

pub(super) const ACM: Resource = Resource {
    name: "AWS::CertificateManager::Certificate",
    state: State::Except(
        "nothing is issued: `--certificate LOGICALID=FILE` names a file with certificate and key",
    ),
    reference: Reference::Arn("acm", "certificate"),
    identity: Some(("CertificateArn", Reference::Arn("acm", "certificate"))),
    attributes: &["CertificateArn", "Id"],
    properties: properties! {
        "DomainName" required: Text => NAMES;
        "SubjectAlternativeNames": Texts => NAMES;
        "ValidationMethod": Text => BY_FILE;
        "DomainValidationOptions": Any => BY_FILE;
        "KeyAlgorithm": Text => BY_FILE;
        "CertificateAuthorityArn": Text => BY_FILE;
        "CertificateExport": Text => BY_FILE;
        "CertificateTransparencyLoggingPreference": Text => BY_FILE;
        "Tags": Any => TAGS;
    },
};

pub(super) const IAM: Resource = Resource {
    name: "AWS::IAM::ServerCertificate",
    state: Supported,
    reference: Reference::Name,
    identity: Some(("Arn", Reference::Arn("iam", "server-certificate"))),
    attributes: &["Arn"],
    properties: properties! {
        "CertificateBody": Text => Supported;
        "CertificateChain": Text => Supported;
        "PrivateKey": Text => Supported;
        "ServerCertificateName": Text => NoEffect("certificates are known by their logical ids");
        "Path": Text => NoEffect("there are no users to whom it would give rights");
        "Tags": Any => TAGS;
    },
};
