//! Classic load balancers.

use super::Kind::{Any, Boolean, Number, Object, Objects, Text, Texts, Word};
use super::State::{Except, NoEffect, Supported};
use super::elbv2::MOST;
use super::{Property, Reference, Resource, SHOWN, State, TAG, properties};

const OF_ZONES: State = NoEffect("there are no zones");
const OF_NETWORK: State = NoEffect("networks are the machine's");
const PROTOCOLS: &[&str] = &["HTTP", "HTTPS", "TCP", "SSL", "http", "https", "tcp", "ssl"];

const LISTENERS: &[Property] = properties! {
    "LoadBalancerPort" required: Number(1, 65_535) => Supported;
    "Protocol" required: Word(PROTOCOLS) => Supported;
    "InstancePort" required: Number(1, 65_535) => Supported;
    "InstanceProtocol": Word(PROTOCOLS) => Supported;
    "SSLCertificateId": Text => Supported;
    "PolicyNames": Texts => Supported;
};

const HEALTH_CHECK: &[Property] = properties! {
    "Target" required: Text => Supported;
    "Interval" required: Number(5, 300) => Supported;
    "Timeout" required: Number(2, 60) => Supported;
    "HealthyThreshold" required: Number(2, 10) => Supported;
    "UnhealthyThreshold" required: Number(2, 10) => Supported;
};

const CONNECTION_SETTINGS: &[Property] = properties! {
    "IdleTimeout" required: Number(1, 4000) => Supported;
};

const DRAINING: &[Property] = properties! {
    "Enabled" required: Boolean => NoEffect("instances leave at a new start, which waits for what is in flight");
    "Timeout": Number(0, 3600) => NoEffect("instances leave at a new start, which waits for what is in flight");
};

const LB_COOKIE: &[Property] = properties! {
    "PolicyName": Text => Supported;
    "CookieExpirationPeriod": Number(0, MOST) => Supported;
};

const APP_COOKIE: &[Property] = properties! {
    "PolicyName" required: Text => Supported;
    "CookieName" required: Text => Supported;
};

const POLICY_ITEM: &[Property] = properties! {
    "Name": Text => Supported;
    "Value": Text => Supported;
};

const POLICIES: &[Property] = properties! {
    "PolicyName" required: Text => Supported;
    "PolicyType" required: Text => Except("not yet: `BackendServerAuthenticationPolicyType`, `PublicKeyPolicyType`");
    "Attributes" required: Objects(POLICY_ITEM) => Supported;
    "InstancePorts": Texts => Supported;
    "LoadBalancerPorts": Texts => Supported;
};

pub(super) const LOAD_BALANCER: Resource = Resource {
    name: "AWS::ElasticLoadBalancing::LoadBalancer",
    state: Supported,
    reference: Reference::Name,
    identity: None,
    attributes: &[
        "DNSName",
        "CanonicalHostedZoneName",
        "CanonicalHostedZoneNameID",
        "SourceSecurityGroup.GroupName",
        "SourceSecurityGroup.OwnerAlias",
    ],
    properties: properties! {
        "LoadBalancerName": Text => NoEffect("load balancers are known by their logical ids");
        "Listeners" required: Objects(LISTENERS) => Supported;
        "HealthCheck": Object(HEALTH_CHECK) => Supported;
        "Instances": Texts => Except("what an instance's address is says `--target ID=ADDRESS`");
        "Policies": Objects(POLICIES) => Supported;
        "LBCookieStickinessPolicy": Objects(LB_COOKIE) => Supported;
        "AppCookieStickinessPolicy": Objects(APP_COOKIE) => Except("clients are remembered by its value; there is no cookie AWSELB then");
        "ConnectionSettings": Object(CONNECTION_SETTINGS) => Supported;
        "ConnectionDrainingPolicy": Object(DRAINING) => NoEffect("instances leave at a new start, which waits for what is in flight");
        "SecurityGroups": Texts => Except("a group that no template declares lets nobody in; where none is declared, everybody may connect, with a warning");
        "AccessLoggingPolicy": Any => NoEffect("there is no S3; `portway convert` shows where an access log is set up");
        "AvailabilityZones": Texts => OF_ZONES;
        "CrossZone": Boolean => OF_ZONES;
        "Scheme": Word(&["internet-facing", "internal"]) => OF_NETWORK;
        "Subnets": Texts => OF_NETWORK;
        "Tags": Objects(TAG) => SHOWN;
    },
};
