//! Security groups.

use super::Kind::{Any, Number, Objects, Text};
use super::State::{NoEffect, NotYet, Supported};
use super::{Property, Reference, Resource, State, TAGS, properties};

const EGRESS_STATE: State = NoEffect("connections to targets are not filtered");
const DESCRIPTION: State = NoEffect("it is for people");
const SOURCE: State =
    State::Except("who the members are is not known here: `--source-group GROUP=CIDR` says it");

const INGRESS_RULE: &[Property] = properties! {
    "IpProtocol" required: Text => State::Except("rules about protocols other than TCP say nothing of listeners");
    "FromPort": Number(-1, 65535) => Supported;
    "ToPort": Number(-1, 65535) => Supported;
    "CidrIp": Text => Supported;
    "CidrIpv6": Text => Supported;
    "SourcePrefixListId": Text => SOURCE;
    "SourceSecurityGroupId": Text => SOURCE;
    "SourceSecurityGroupName": Text => SOURCE;
    "SourceSecurityGroupOwnerId": Text => NoEffect("`--source-group` says who the members are");
    "Description": Text => DESCRIPTION;
};

const EGRESS_RULE: &[Property] = properties! {
    "IpProtocol" required: Text => EGRESS_STATE;
    "FromPort": Number(-1, 65535) => EGRESS_STATE;
    "ToPort": Number(-1, 65535) => EGRESS_STATE;
    "CidrIp": Text => EGRESS_STATE;
    "CidrIpv6": Text => EGRESS_STATE;
    "DestinationPrefixListId": Text => EGRESS_STATE;
    "DestinationSecurityGroupId": Text => EGRESS_STATE;
    "Description": Text => DESCRIPTION;
};

pub(super) const SECURITY_GROUP: Resource = Resource {
    name: "AWS::EC2::SecurityGroup",
    state: State::Except(
        "those of load balancers filter clients by address and port; others have no effect",
    ),
    reference: Reference::Id("sg"),
    identity: Some(("GroupId", Reference::Id("sg"))),
    attributes: &["GroupId", "Id", "VpcId"],
    properties: properties! {
        "GroupDescription" required: Text => DESCRIPTION;
        "GroupName": Text => NoEffect("groups are known by their logical ids");
        "SecurityGroupIngress": Objects(INGRESS_RULE) => Supported;
        "SecurityGroupEgress": Objects(EGRESS_RULE) => EGRESS_STATE;
        "Tags": Any => TAGS;
        "VpcId": Text => NoEffect("networks are the machine's");
    },
};

pub(super) const INGRESS: Resource = Resource {
    name: "AWS::EC2::SecurityGroupIngress",
    state: Supported,
    reference: Reference::Name,
    identity: None,
    attributes: &["Id"],
    properties: properties! {
        "GroupId": Text => Supported;
        "GroupName": Text => NotYet;
        "IpProtocol" required: Text => State::Except("rules about protocols other than TCP say nothing of listeners");
        "FromPort": Number(-1, 65535) => Supported;
        "ToPort": Number(-1, 65535) => Supported;
        "CidrIp": Text => Supported;
        "CidrIpv6": Text => Supported;
        "SourcePrefixListId": Text => SOURCE;
        "SourceSecurityGroupId": Text => SOURCE;
        "SourceSecurityGroupName": Text => SOURCE;
        "SourceSecurityGroupOwnerId": Text => NoEffect("`--source-group` says who the members are");
        "Description": Text => DESCRIPTION;
    },
};

pub(super) const EGRESS: Resource = Resource {
    name: "AWS::EC2::SecurityGroupEgress",
    state: EGRESS_STATE,
    reference: Reference::Name,
    identity: None,
    attributes: &["Id"],
    properties: properties! {
        "GroupId" required: Text => EGRESS_STATE;
        "IpProtocol" required: Text => EGRESS_STATE;
        "FromPort": Number(-1, 65535) => EGRESS_STATE;
        "ToPort": Number(-1, 65535) => EGRESS_STATE;
        "CidrIp": Text => EGRESS_STATE;
        "CidrIpv6": Text => EGRESS_STATE;
        "DestinationPrefixListId": Text => EGRESS_STATE;
        "DestinationSecurityGroupId": Text => EGRESS_STATE;
        "Description": Text => DESCRIPTION;
    },
};
