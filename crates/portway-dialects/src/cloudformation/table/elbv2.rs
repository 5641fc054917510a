//! Application and network load balancers.

use super::Kind::{Any, Attributes, Boolean, Number, Object, Objects, Text, Texts, Word};
use super::State::{Except, NoEffect, NotYet, Refused, Supported};
use super::{Property, Reference, Resource, SHOWN, State, TAG, TAGS, properties};

const ELB: &str = "elasticloadbalancing";
const OF_NETWORK: State = NoEffect("networks are the machine's");
const OF_ZONES: State = NoEffect("there are no zones");
const TO_S3: State =
    NoEffect("there is no S3; `portway convert` shows where an access log is set up");
const GATEWAY: State = Refused("it is about gateway load balancers");
const UDP: State = Refused("it is about UDP and QUIC");
const LAMBDA: State = Refused("functions are not called");
/// Of UDP, and of one that clients and targets share.
const PROTOCOLS: &[&str] = &[
    "HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC",
];
const BIG: i64 = i32::MAX as i64;

/// Attributes of load balancers.
const BALANCER_ATTRIBUTES: &[Property] = properties! {
    "idle_timeout.timeout_seconds": Number(1, 4000) => Supported;
    "client_keep_alive.seconds": Number(60, 604_800) => Supported;
    "routing.http.xff_header_processing.mode": Word(&["append", "preserve", "remove"]) => Supported;
    "routing.http.xff_client_port.enabled": Boolean => Supported;
    "routing.http.preserve_host_header.enabled": Boolean => Supported;
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": Boolean => Supported;
    "routing.http.desync_mitigation_mode": Word(&["monitor", "defensive", "strictest"]) => NoEffect("what is unclear in a request is always refused");
    "routing.http.drop_invalid_header_fields.enabled": Boolean => NoEffect("requests with invalid header names are always refused");
    "routing.http2.enabled": Boolean => Supported;
    "deletion_protection.enabled": Boolean => NoEffect("nothing deletes it");
    "load_balancing.cross_zone.enabled": Boolean => OF_ZONES;
    "zonal_shift.config.enabled": Boolean => OF_ZONES;
    "dns_record.client_routing_policy": Text => OF_ZONES;
    "secondary_ips.auto_assigned.per_subnet": Number(0, 7) => OF_NETWORK;
    "ipv6.deny_all_igw_traffic": Boolean => OF_NETWORK;
    "access_logs.s3.enabled": Boolean => TO_S3;
    "access_logs.s3.bucket": Text => TO_S3;
    "access_logs.s3.prefix": Text => TO_S3;
    "connection_logs.s3.enabled": Boolean => TO_S3;
    "connection_logs.s3.bucket": Text => TO_S3;
    "connection_logs.s3.prefix": Text => TO_S3;
    "health_check_logs.s3.enabled": Boolean => TO_S3;
    "health_check_logs.s3.bucket": Text => TO_S3;
    "health_check_logs.s3.prefix": Text => TO_S3;
    "waf.fail_open.enabled": Boolean => NoEffect("there is no WAF");
};

pub(super) const LOAD_BALANCER: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::LoadBalancer",
    state: Supported,
    reference: Reference::Arn(ELB, "loadbalancer/app"),
    identity: Some(("LoadBalancerArn", Reference::Arn(ELB, "loadbalancer/app"))),
    attributes: &[
        "DNSName",
        "CanonicalHostedZoneID",
        "LoadBalancerFullName",
        "LoadBalancerName",
        "LoadBalancerArn",
        "SecurityGroups",
    ],
    properties: properties! {
        "Name": Text => NoEffect("load balancers are known by their logical ids");
        "Type": Word(&["application", "network", "gateway"]) => Except("`gateway` is refused");
        "Scheme": Word(&["internet-facing", "internal"]) => OF_NETWORK;
        "IpAddressType": Word(&["ipv4", "dualstack", "dualstack-without-public-ipv4"]) => Supported;
        "SecurityGroups": Texts => Except("a group that no template declares lets nobody in; where none is declared, everybody may connect, with a warning");
        "Subnets": Texts => OF_NETWORK;
        "SubnetMappings": Any => OF_NETWORK;
        "LoadBalancerAttributes": Attributes(BALANCER_ATTRIBUTES) => Supported;
        "Ipv4IpamPoolId": Text => OF_NETWORK;
        "EnablePrefixForIpv6SourceNat": Text => OF_NETWORK;
        "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic": Text => OF_NETWORK;
        "MinimumLoadBalancerCapacity": Any => NoEffect("the machine has what it has");
        "EnableCapacityReservationProvisionStabilize": Boolean => NoEffect("the machine has what it has");
        "Tags": Objects(TAG) => State::Except("shown with its listeners");
    },
};

const CERTIFICATES: &[Property] = properties! {
    "CertificateArn": Text => Supported;
};

const FIXED_RESPONSE: &[Property] = properties! {
    "StatusCode" required: Number(200, 599) => Supported;
    "ContentType": Word(&["text/plain", "text/css", "text/html", "application/javascript", "application/json"]) => Supported;
    "MessageBody": Text => Supported;
};

const REDIRECT: &[Property] = properties! {
    "StatusCode" required: Word(&["HTTP_301", "HTTP_302"]) => Supported;
    "Protocol": Word(&["HTTP", "HTTPS", "#{protocol}"]) => Supported;
    "Host": Text => Supported;
    "Port": Text => Supported;
    "Path": Text => Supported;
    "Query": Text => Supported;
};

const TUPLE: &[Property] = properties! {
    "TargetGroupArn": Text => Supported;
    "Weight": Number(0, 999) => Supported;
};

const GROUP_STICKINESS: &[Property] = properties! {
    "Enabled": Boolean => Supported;
    "DurationSeconds": Number(1, 604_800) => Supported;
};

const FORWARD: &[Property] = properties! {
    "TargetGroups": Objects(TUPLE) => Supported;
    "TargetGroupStickinessConfig": Object(GROUP_STICKINESS) => Supported;
};

const CLAIM: &[Property] = properties! {
    "Format" required: Word(&["single-string", "string-array", "space-separated-values"])
        => Except("each of the values must be in an array, or among the words; one of them must be a single string");
    "Name" required: Text => Supported;
    "Values" required: Texts => Supported;
};

const JWT_VALIDATION: &[Property] = properties! {
    "Issuer" required: Text => Supported;
    "JwksEndpoint" required: Text => Except("fetched every ten minutes, and where a token names an unknown key");
    "AdditionalClaims": Objects(CLAIM) => Supported;
};

const ACTION: &[Property] = properties! {
    "Type" required: Word(&["forward", "redirect", "fixed-response", "authenticate-cognito", "authenticate-oidc", "jwt-validation"])
        => Except("not yet: `authenticate-cognito`, `authenticate-oidc`");
    "Order": Number(1, 50_000) => Supported;
    "TargetGroupArn": Text => Supported;
    "ForwardConfig": Object(FORWARD) => Supported;
    "RedirectConfig": Object(REDIRECT) => Supported;
    "FixedResponseConfig": Object(FIXED_RESPONSE) => Supported;
    "AuthenticateCognitoConfig": Any => NotYet;
    "AuthenticateOidcConfig": Any => NotYet;
    "JwtValidationConfig": Object(JWT_VALIDATION) => Supported;
};

/// Attributes of listeners.
const LISTENER_ATTRIBUTES: &[Property] = properties! {
    "tcp.idle_timeout.seconds": Number(60, 6000) => Supported;
    "routing.http.response.server.enabled": Boolean => Supported;
    "routing.http.response.strict_transport_security.header_value": Text => Supported;
    "routing.http.response.access_control_allow_origin.header_value": Text => Supported;
    "routing.http.response.access_control_allow_methods.header_value": Text => Supported;
    "routing.http.response.access_control_allow_headers.header_value": Text => Supported;
    "routing.http.response.access_control_allow_credentials.header_value": Text => Supported;
    "routing.http.response.access_control_expose_headers.header_value": Text => Supported;
    "routing.http.response.access_control_max_age.header_value": Text => Supported;
    "routing.http.response.content_security_policy.header_value": Text => Supported;
    "routing.http.response.x_content_type_options.header_value": Text => Supported;
    "routing.http.response.x_frame_options.header_value": Text => Supported;
    "routing.http.request.x_amzn_tls_version.header_name": Text => Supported;
    "routing.http.request.x_amzn_tls_cipher_suite.header_name": Text => Supported;
    "routing.http.request.x_amzn_mtls_clientcert.header_name": Text => NotYet;
    "routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name": Text => NotYet;
    "routing.http.request.x_amzn_mtls_clientcert_issuer.header_name": Text => NotYet;
    "routing.http.request.x_amzn_mtls_clientcert_subject.header_name": Text => NotYet;
    "routing.http.request.x_amzn_mtls_clientcert_validity.header_name": Text => NotYet;
    "routing.http.request.x_amzn_mtls_clientcert_leaf.header_name": Text => NotYet;
};

const MUTUAL: &[Property] = properties! {
    "Mode": Word(&["off", "passthrough", "verify"]) => Except("not yet: `passthrough`, `verify`");
    "TrustStoreArn": Text => NotYet;
    "IgnoreClientCertificateExpiry": Boolean => NotYet;
    "AdvertiseTrustStoreCaNames": Word(&["on", "off"]) => NotYet;
};

pub(super) const LISTENER: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::Listener",
    state: Supported,
    reference: Reference::Arn(ELB, "listener/app"),
    identity: Some(("ListenerArn", Reference::Arn(ELB, "listener/app"))),
    attributes: &["ListenerArn"],
    properties: properties! {
        "LoadBalancerArn" required: Text => Supported;
        "Port": Number(1, 65_535) => Supported;
        "Protocol": Word(PROTOCOLS) => Except("UDP, QUIC and GENEVE are refused");
        "DefaultActions" required: Objects(ACTION) => Supported;
        "Certificates": Objects(CERTIFICATES) => Supported;
        "SslPolicy": Text => Except("reduced to TLS 1.2 and 1.3 with forward secrecy; a warning lists what is left out");
        "AlpnPolicy": Texts => Except("HTTP/2 is left out");
        "MutualAuthentication": Object(MUTUAL) => Supported;
        "ListenerAttributes": Attributes(LISTENER_ATTRIBUTES) => Supported;
        "Tags": Objects(TAG) => SHOWN;
    },
};

pub(super) const LISTENER_CERTIFICATE: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::ListenerCertificate",
    state: Supported,
    reference: Reference::Name,
    identity: None,
    attributes: &["Id"],
    properties: properties! {
        "ListenerArn" required: Text => Supported;
        "Certificates" required: Objects(CERTIFICATES) => Supported;
    },
};

const VALUES: &[Property] = properties! {
    "Values": Texts => Supported;
};

const PATTERNS: &[Property] = properties! {
    "Values": Texts => Supported;
    "RegexValues": Texts => Supported;
};

const HEADER: &[Property] = properties! {
    "HttpHeaderName": Text => Supported;
    "Values": Texts => Supported;
    "RegexValues": Texts => Supported;
};

const KEY_VALUE: &[Property] = properties! {
    "Key": Text => Supported;
    "Value": Text => Supported;
};

const QUERY: &[Property] = properties! {
    "Values": Objects(KEY_VALUE) => Supported;
};

const SOURCE_IP: &[Property] = properties! {
    "Values": Texts => Supported;
    "IpAddressType": Word(&["ipv4", "ipv6"]) => NotYet;
};

const CONDITION: &[Property] = properties! {
    "Field": Word(&["host-header", "path-pattern", "http-request-method", "source-ip", "http-header", "query-string"]) => Supported;
    "Values": Texts => Supported;
    "RegexValues": Texts => Supported;
    "HostHeaderConfig": Object(PATTERNS) => Supported;
    "PathPatternConfig": Object(PATTERNS) => Supported;
    "HttpHeaderConfig": Object(HEADER) => Supported;
    "HttpRequestMethodConfig": Object(VALUES) => Supported;
    "QueryStringConfig": Object(QUERY) => Supported;
    "SourceIpConfig": Object(SOURCE_IP) => Supported;
};

const REWRITE: &[Property] = properties! {
    "Regex" required: Text => Supported;
    "Replace" required: Text => Supported;
};

const REWRITES: &[Property] = properties! {
    "Rewrites" required: Objects(REWRITE) => Supported;
};

const TRANSFORM: &[Property] = properties! {
    "Type" required: Word(&["host-header-rewrite", "url-rewrite"]) => Supported;
    "HostHeaderRewriteConfig": Object(REWRITES) => Supported;
    "UrlRewriteConfig": Object(REWRITES) => Supported;
};

pub(super) const LISTENER_RULE: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::ListenerRule",
    state: Except("not yet: rules of network load balancers"),
    reference: Reference::Arn(ELB, "listener-rule/app"),
    identity: Some(("RuleArn", Reference::Arn(ELB, "listener-rule/app"))),
    attributes: &["RuleArn", "IsDefault"],
    properties: properties! {
        "ListenerArn": Text => Supported;
        "Priority" required: Number(1, 50_000) => Supported;
        "Conditions" required: Objects(CONDITION) => Supported;
        "Actions" required: Objects(ACTION) => Supported;
        "Transforms": Objects(TRANSFORM) => Supported;
        "Tags": Any => TAGS;
    },
};

/// Attributes of target groups.
const GROUP_ATTRIBUTES: &[Property] = properties! {
    "load_balancing.algorithm.type": Word(&["round_robin", "least_outstanding_requests", "weighted_random"]) => Supported;
    "load_balancing.algorithm.anomaly_mitigation": Word(&["on", "off"]) => NoEffect("targets are left out by their health checks alone");
    "slow_start.duration_seconds": Number(0, 900) => Supported;
    "stickiness.enabled": Boolean => Supported;
    "stickiness.type": Word(&["lb_cookie", "app_cookie", "source_ip", "source_ip_dest_ip", "source_ip_dest_ip_proto"])
        => Except("the last two are of gateway load balancers");
    "stickiness.lb_cookie.duration_seconds": Number(1, 604_800) => Supported;
    "stickiness.app_cookie.cookie_name": Text => Except("clients are remembered by its value; there is no cookie AWSALBAPP");
    "stickiness.app_cookie.duration_seconds": Number(1, 604_800) => Supported;
    "deregistration_delay.timeout_seconds": Number(0, 3600) => Supported;
    "deregistration_delay.connection_termination.enabled": Boolean => NoEffect("what is left when the delay is over is cut off");
    "proxy_protocol_v2.enabled": Boolean => Supported;
    "preserve_client_ip.enabled": Boolean => NoEffect("targets see Portway's address; `proxy_protocol_v2.enabled` tells them the client's");
    "load_balancing.cross_zone.enabled": Text => Except("`false`: targets of the zone that `PORTWAY_ZONE` says come first, and others where none of it is healthy");
    "target_group_health.dns_failover.minimum_healthy_targets.count": Text => OF_ZONES;
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": Text => OF_ZONES;
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": Text => Supported;
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": Text => Supported;
    "target_health_state.unhealthy.connection_termination.enabled": Boolean => Supported;
    "target_health_state.unhealthy.draining_interval_seconds": Number(0, 360_000) => NoEffect("connections end at once or stay");
    "lambda.multi_value_headers.enabled": Boolean => LAMBDA;
    "target_failover.on_deregistration": Text => GATEWAY;
    "target_failover.on_unhealthy": Text => GATEWAY;
};

const MATCHER: &[Property] = properties! {
    "HttpCode": Text => Supported;
    "GrpcCode": Text => Except("with `ProtocolVersion` GRPC");
};

const TARGET: &[Property] = properties! {
    "Id" required: Text => Except("addresses; what an instance's address is says `--target ID=ADDRESS`");
    "Port": Number(1, 65_535) => Supported;
    "AvailabilityZone": Text => Except("with `load_balancing.cross_zone.enabled` false");
    "QuicServerId": Text => UDP;
};

pub(super) const TARGET_GROUP: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::TargetGroup",
    state: Supported,
    reference: Reference::Arn(ELB, "targetgroup"),
    identity: Some(("TargetGroupArn", Reference::Arn(ELB, "targetgroup"))),
    attributes: &[
        "TargetGroupFullName",
        "TargetGroupName",
        "LoadBalancerArns",
        "TargetGroupArn",
    ],
    properties: properties! {
        "Name": Text => NoEffect("target groups are known by their logical ids");
        "Port": Number(1, 65_535) => Supported;
        "Protocol": Word(PROTOCOLS) => Except("UDP, QUIC and GENEVE are refused");
        "ProtocolVersion": Word(&["HTTP1", "HTTP2", "GRPC"]) => Except("not yet: `HTTP2`; `GRPC` is checked so, its requests not forwarded yet");
        "TargetType": Word(&["instance", "ip", "lambda", "alb"]) => Except("`lambda` and `alb` are refused");
        "Targets": Objects(TARGET) => Supported;
        "VpcId": Text => OF_NETWORK;
        "IpAddressType": Word(&["ipv4", "ipv6"]) => NoEffect("addresses say themselves what they are");
        "HealthCheckEnabled": Boolean => Supported;
        "HealthCheckIntervalSeconds": Number(5, 300) => Supported;
        "HealthCheckPath": Text => Supported;
        "HealthCheckPort": Text => Supported;
        "HealthCheckProtocol": Word(PROTOCOLS) => Except("UDP, QUIC and GENEVE are refused");
        "HealthCheckTimeoutSeconds": Number(2, 120) => Supported;
        "HealthyThresholdCount": Number(2, 10) => Supported;
        "UnhealthyThresholdCount": Number(2, 10) => Supported;
        "Matcher": Object(MATCHER) => Supported;
        "TargetGroupAttributes": Attributes(GROUP_ATTRIBUTES) => Supported;
        "TargetControlPort": Number(1, 65_535) => NotYet;
        "Tags": Objects(TAG) => SHOWN;
    },
};

pub(super) const TRUST_STORE: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::TrustStore",
    state: NotYet,
    reference: Reference::Arn(ELB, "truststore"),
    identity: Some(("TrustStoreArn", Reference::Arn(ELB, "truststore"))),
    attributes: &["TrustStoreArn", "Status", "NumberOfCaCertificates"],
    properties: properties! {
        "Name": Text => NotYet;
        "CaCertificatesBundleS3Bucket": Text => NotYet;
        "CaCertificatesBundleS3Key": Text => NotYet;
        "CaCertificatesBundleS3ObjectVersion": Text => NotYet;
        "Tags": Any => TAGS;
    },
};

pub(super) const TRUST_STORE_REVOCATION: Resource = Resource {
    name: "AWS::ElasticLoadBalancingV2::TrustStoreRevocation",
    state: NotYet,
    reference: Reference::Name,
    identity: None,
    attributes: &["RevocationId", "TrustStoreRevocations"],
    properties: properties! {
        "TrustStoreArn": Text => NotYet;
        "RevocationContents": Any => NotYet;
    },
};

/// The largest number that a property may have where AWS says none.
pub(super) const MOST: i64 = BIG;
