//! The words of values, each once, for reading and for printing.

use portway_model::action::End;
use portway_model::expression::{
    CertificateField, CertificateInfo, Counter, GroupFigure, ListenerFigure, LogValue, Message,
    NameAttribute, PriorityPart, Scope, TableFigure, TargetFigure, TimeoutOf, TlsField, Value,
};
use portway_model::first_answer::AnswerPart;
use portway_model::proxied::ProxyField;
use portway_model::stage::Named;

/// Values that are one word.
pub(crate) const PLAIN: &[(&str, Value<Named>)] = &[
    ("true", Value::Boolean(true)),
    ("false", Value::Boolean(false)),
    ("source", Value::Source),
    ("source_port", Value::SourcePort),
    ("destination", Value::Destination),
    ("destination_port", Value::DestinationPort),
    ("listener_name", Value::ListenerName),
    ("listener_connections", Value::ListenerConnections),
    ("listener_connection_rate", Value::ListenerConnectionRate),
    ("listener_request_rate", Value::ListenerRequestRate),
    ("tls", Value::Tls),
    ("tls_version", Value::TlsVersion),
    ("tls_cipher", Value::TlsCipher),
    ("tls_cipher_openssl", Value::TlsCipherOpenssl),
    ("tls_key_bits", Value::TlsKeyBits),
    ("tls_resumed", Value::TlsResumed),
    ("tls_session_id", Value::TlsSessionId),
    ("proxy_received", Value::ProxyReceived),
    ("sni", Value::Sni),
    ("alpn", Value::Alpn),
    ("hello_sni", Value::HelloSni),
    ("hello_alpn", Value::HelloAlpn),
    ("hello_type", Value::HelloType),
    ("hello_version", Value::HelloVersion),
    ("hello_session_id", Value::HelloSessionId),
    (
        "response_payload_length",
        Value::OfAnswer(AnswerPart::Length),
    ),
    (
        "response_hello_type",
        Value::OfAnswer(AnswerPart::HelloType),
    ),
    (
        "response_session_id",
        Value::OfAnswer(AnswerPart::SessionId),
    ),
    ("is_http", Value::IsHttp),
    ("wait_ended", Value::WaitEnded),
    ("payload_length", Value::PayloadLength),
    ("method", Value::Method),
    ("scheme", Value::Scheme),
    ("http_version", Value::HttpVersion),
    ("host", Value::Host),
    ("path", Value::Path),
    ("query", Value::Query),
    ("target", Value::Target),
    ("url", Value::Url),
    ("base", Value::Base),
    ("host_path", Value::HostPath),
    ("received_method", Value::ReceivedMethod),
    ("received_target", Value::ReceivedTarget),
    ("body", Value::Body),
    ("body_length", Value::BodyLength),
    ("basic_user", Value::BasicUser),
    ("basic_password", Value::BasicPassword),
    ("authorization_scheme", Value::AuthorizationScheme),
    ("bearer", Value::Bearer(None)),
    ("first_request", Value::FirstRequest),
    ("response_version", Value::ResponseVersion),
    ("request_id", Value::RequestId),
    ("trace_id", Value::TraceId),
    ("span_id", Value::SpanId),
    ("status", Value::Status),
    ("response_body", Value::ResponseBody),
    ("response_body_length", Value::ResponseBodyLength),
    ("group_name", Value::GroupName),
    ("target_name", Value::TargetName),
    ("target_number", Value::TargetNumber),
    ("header_block", Value::HeaderBlock(Message::Request)),
    (
        "response_header_block",
        Value::HeaderBlock(Message::Response),
    ),
    ("priority_class", Value::Priority(PriorityPart::Class)),
    ("priority_offset", Value::Priority(PriorityPart::Offset)),
    ("any_cookie", Value::AnyCookie(Message::Request)),
    ("response_any_cookie", Value::AnyCookie(Message::Response)),
    ("target_address", Value::TargetAddress),
    ("now", Value::Now),
    ("now_microseconds", Value::NowMicroseconds),
    ("uuid", Value::Uuid),
    ("worker", Value::Worker),
    ("draining", Value::Draining),
    ("hostname", Value::Hostname),
];

/// Values with arguments, and how they are written.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("header", "header(`NAME`)"),
    ("address", "address(`10.0.0.1`)"),
    ("header_line", "header_line(`NAME`, 1)"),
    ("header_item", "header_item(`NAME`)"),
    ("header_count", "header_count(`NAME`)"),
    ("header_item_count", "header_item_count(`NAME`)"),
    ("header_names", "header_names(`,`)"),
    ("response_header_line", "response_header_line(`NAME`, 1)"),
    ("response_header_item", "response_header_item(`NAME`)"),
    ("response_header_count", "response_header_count(`NAME`)"),
    (
        "response_header_item_count",
        "response_header_item_count(`NAME`)",
    ),
    ("response_header_names", "response_header_names(`,`)"),
    ("cookie_count", "cookie_count(`NAME`)"),
    ("response_cookie_count", "response_cookie_count(`NAME`)"),
    ("argument", "argument(`NAME`)"),
    ("body_argument", "body_argument(`NAME`)"),
    ("bearer", "bearer(`HEADER`)"),
    ("authenticated_user", "authenticated_user(`USERLIST`)"),
    ("with_source", "with_source(host_path)"),
    ("matched", "matched(1, path, `^/a/(.*)$`)"),
    ("in_user_group", "in_user_group(`USERLIST`, `GROUP`)"),
    ("of_group", "of_group(queued, `GROUP`)"),
    ("of_listener", "of_listener(connections, `LISTENER`)"),
    ("of_target", "of_target(usable, `GROUP`, `TARGET`)"),
    ("cookie", "cookie(`NAME`)"),
    ("query", "query(`NAME`)"),
    ("response_header", "response_header(`NAME`)"),
    ("response_cookie", "response_cookie(`NAME`)"),
    ("client_certificate", "client_certificate(subject)"),
    ("shown_certificate", "shown_certificate(subject)"),
    ("target_certificate", "target_certificate(subject)"),
    ("target_tls", "target_tls(version)"),
    ("proxied", "proxied(authority)"),
    ("hello_extension", "hello_extension(10)"),
    ("payload", "payload(0, 16)"),
    ("payload_block", "payload_block(43, 1, 44)"),
    ("response_payload", "response_payload(0, 16)"),
    (
        "response_payload_block",
        "response_payload_block(43, 1, 44)",
    ),
    ("variable", "variable(exchange, `NAME`)"),
    ("var", "var.exchange.NAME"),
    ("capture", "capture(0)"),
    ("response_capture", "response_capture(0)"),
    ("authenticated", "authenticated(`USERLIST`)"),
    ("counter", "counter(request_rate, tracked(0))"),
    ("raised", "raised(general(0), tracked(0))"),
    ("cleared", "cleared(general(0), tracked(0))"),
    ("trackers", "trackers(tracked(0))"),
    ("expires_in", "expires_in(tracked(0))"),
    ("idle_for", "idle_for(tracked(0))"),
    ("of_table", "of_table(used, `clients`)"),
    ("healthy_targets", "healthy_targets(`GROUP`)"),
    ("group_connections", "group_connections(`GROUP`)"),
    ("random", "random(100)"),
    ("accepted", "accepted(source)"),
    ("timeout", "timeout(client)"),
    ("environment", "environment(`NAME`)"),
    ("log", "log(total_time)"),
    ("tracked", "tracked(0)"),
    ("entry", "entry(`TABLE`, source)"),
];

/// What a header of the PROXY protocol tells; any other part is a number, its type.
pub(crate) const PROXY_FIELDS: &[(&str, ProxyField)] = &[
    ("alpn", ProxyField::Alpn),
    ("authority", ProxyField::Authority),
    ("unique_id", ProxyField::UniqueId),
    ("network_namespace", ProxyField::NetworkNamespace),
    ("tls", ProxyField::Tls),
    ("verified", ProxyField::Verified),
    ("tls_version", ProxyField::TlsVersion),
    ("common_name", ProxyField::CommonName),
    ("cipher", ProxyField::Cipher),
    ("signature", ProxyField::Signature),
    ("key", ProxyField::Key),
    ("aws_endpoint", ProxyField::AwsEndpoint),
    ("azure_endpoint", ProxyField::AzureEndpoint),
    ("gcp_connection", ProxyField::GcpConnection),
];

/// What is agreed on with a target in a TLS handshake.
pub(crate) const TLS_FIELDS: &[(&str, TlsField)] = &[
    ("spoken", TlsField::Spoken),
    ("version", TlsField::Version),
    ("cipher", TlsField::Cipher),
    ("cipher_openssl", TlsField::CipherOpenssl),
    ("key_bits", TlsField::KeyBits),
    ("resumed", TlsField::Resumed),
    ("alpn", TlsField::Alpn),
];

/// Fields of a certificate.
pub(crate) const CERTIFICATE_FIELDS: &[(&str, CertificateField)] = &[
    ("present", CertificateField::Present),
    ("verified", CertificateField::Verified),
    ("verify_code", CertificateField::VerifyCode),
    ("fault", CertificateField::Fault),
    ("fault_above", CertificateField::FaultAbove),
    ("fault_above_depth", CertificateField::FaultAboveDepth),
    ("subject", CertificateField::Subject),
    ("issuer", CertificateField::Issuer),
    ("subject_line", CertificateField::SubjectLine),
    ("issuer_line", CertificateField::IssuerLine),
    ("serial", CertificateField::Serial),
    ("serial_bytes", CertificateField::SerialBytes),
    ("fingerprint", CertificateField::Fingerprint),
    ("sha1_bytes", CertificateField::Sha1Bytes),
    ("not_before", CertificateField::NotBefore),
    ("not_after", CertificateField::NotAfter),
    ("not_before_text", CertificateField::NotBeforeText),
    ("not_after_text", CertificateField::NotAfterText),
    ("version", CertificateField::Version),
    ("key_algorithm", CertificateField::KeyAlgorithm),
    ("signature_algorithm", CertificateField::SignatureAlgorithm),
    ("dns_names", CertificateField::DnsNames),
    ("ip_addresses", CertificateField::Addresses),
    ("emails", CertificateField::Emails),
    ("uris", CertificateField::Uris),
    ("alternative_names", CertificateField::AlternativeNames),
    ("der", CertificateField::Der),
    ("pem", CertificateField::Pem),
];

/// The field of a certificate that takes a list of parts.
pub(crate) const CERTIFICATE_INFO: &str = "info";

/// Its parts.
#[rustfmt::skip] // a table
pub(crate) const CERTIFICATE_INFOS: &[(&str, CertificateInfo)] = &[
    ("subject_dc", CertificateInfo::Subject(NameAttribute::DomainComponent)),
    ("subject_c", CertificateInfo::Subject(NameAttribute::Country)),
    ("subject_st", CertificateInfo::Subject(NameAttribute::Province)),
    ("subject_l", CertificateInfo::Subject(NameAttribute::Locality)),
    ("subject_o", CertificateInfo::Subject(NameAttribute::Organization)),
    ("subject_ou", CertificateInfo::Subject(NameAttribute::OrganizationalUnit)),
    ("subject_sn", CertificateInfo::Subject(NameAttribute::SerialNumber)),
    ("subject_cn", CertificateInfo::Subject(NameAttribute::CommonName)),
    ("issuer_dc", CertificateInfo::Issuer(NameAttribute::DomainComponent)),
    ("issuer_c", CertificateInfo::Issuer(NameAttribute::Country)),
    ("issuer_st", CertificateInfo::Issuer(NameAttribute::Province)),
    ("issuer_l", CertificateInfo::Issuer(NameAttribute::Locality)),
    ("issuer_o", CertificateInfo::Issuer(NameAttribute::Organization)),
    ("issuer_ou", CertificateInfo::Issuer(NameAttribute::OrganizationalUnit)),
    ("issuer_sn", CertificateInfo::Issuer(NameAttribute::SerialNumber)),
    ("issuer_cn", CertificateInfo::Issuer(NameAttribute::CommonName)),
    ("serial", CertificateInfo::Serial),
    ("not_before", CertificateInfo::NotBefore),
    ("not_after", CertificateInfo::NotAfter),
    ("alternative_names", CertificateInfo::AlternativeNames),
    ("as_traefik", CertificateInfo::AsTraefik),
];

/// Fields of a client certificate that take the name of an attribute.
pub(crate) const CERTIFICATE_PARTS: [&str; 2] = ["subject_part", "issuer_part"];

/// What is known when an exchange ends.
pub(crate) const LOG_VALUES: &[(&str, LogValue)] = &[
    ("start_time", LogValue::StartTime),
    ("start_time_common", LogValue::StartTimeCommon),
    ("start_time_local", LogValue::StartTimeLocal),
    ("start_date", LogValue::StartDate),
    ("accept_time_common", LogValue::AcceptTimeCommon),
    ("accept_time_local", LogValue::AcceptTimeLocal),
    ("accept_date", LogValue::AcceptDate),
    ("accept_seconds", LogValue::AcceptSeconds),
    ("accept_milliseconds", LogValue::AcceptMilliseconds),
    ("handshake_time", LogValue::HandshakeTime),
    ("idle_time", LogValue::IdleTime),
    ("request_time", LogValue::RequestTime),
    ("until_request_time", LogValue::UntilRequestTime),
    ("queue_time", LogValue::QueueTime),
    ("connect_time", LogValue::ConnectTime),
    ("response_time", LogValue::ResponseTime),
    ("data_time", LogValue::DataTime),
    ("total_time", LogValue::TotalTime),
    ("session_time", LogValue::SessionTime),
    ("user_time", LogValue::UserTime),
    ("bytes_in", LogValue::BytesIn),
    ("bytes_out", LogValue::BytesOut),
    ("bytes_uploaded", LogValue::BytesUploaded),
    ("bytes_read", LogValue::BytesRead),
    ("status", LogValue::Status),
    ("retries", LogValue::Retries),
    ("retries_marked", LogValue::RetriesMarked),
    ("targets_attempted", LogValue::TargetsAttempted),
    ("termination", LogValue::Termination),
    ("termination_letters", LogValue::TerminationLetters),
    ("termination_short", LogValue::TerminationShort),
    ("request_line", LogValue::RequestLine),
    ("request_method", LogValue::RequestMethod),
    ("request_uri", LogValue::RequestUri),
    ("request_uri_path", LogValue::RequestUriPath),
    ("request_path", LogValue::RequestPath),
    ("request_query", LogValue::RequestQuery),
    ("request_version", LogValue::RequestVersion),
    ("captured_request", LogValue::CapturedRequest),
    ("captured_request_list", LogValue::CapturedRequestList),
    ("captured_response", LogValue::CapturedResponse),
    ("captured_response_list", LogValue::CapturedResponseList),
    ("captured_request_cookie", LogValue::CapturedRequestCookie),
    ("captured_response_cookie", LogValue::CapturedResponseCookie),
    ("client_address", LogValue::ClientAddress),
    ("client_port", LogValue::ClientPort),
    ("listener_address", LogValue::ListenerAddress),
    ("listener_port", LogValue::ListenerPort),
    ("upstream_address", LogValue::UpstreamAddress),
    ("upstream_port", LogValue::UpstreamPort),
    ("target_ip", LogValue::TargetIp),
    ("target_port", LogValue::TargetPort),
    ("listener_transport", LogValue::ListenerTransport),
    ("backend", LogValue::Backend),
    ("server", LogValue::Server),
    ("rule_file", LogValue::RuleFile),
    ("rule_line", LogValue::RuleLine),
    ("process_connections", LogValue::ProcessConnections),
    ("listener_connections", LogValue::ListenerConnections),
    ("group_connections", LogValue::GroupConnections),
    ("target_connections", LogValue::TargetConnections),
    ("group_queue", LogValue::GroupQueue),
    ("target_queue", LogValue::TargetQueue),
    ("process_id", LogValue::ProcessId),
    ("request_counter", LogValue::RequestCounter),
    ("log_counter", LogValue::LogCounter),
    ("tls_version", LogValue::TlsVersion),
    ("tls_cipher", LogValue::TlsCipher),
    ("connection_error", LogValue::ConnectionError),
];

/// Ends of a client's connection.
pub(crate) const ENDS: [(&str, End); 4] = [
    ("source", End::Source),
    ("source_port", End::SourcePort),
    ("destination", End::Destination),
    ("destination_port", End::DestinationPort),
];

/// Parts of the place among those that wait.
pub(crate) const PRIORITY_PARTS: [(&str, PriorityPart); 2] = [
    ("class", PriorityPart::Class),
    ("offset", PriorityPart::Offset),
];

/// Timeouts that values speak of.
pub(crate) const TIMEOUTS: &[(&str, TimeoutOf)] = &[
    ("client", TimeoutOf::Client),
    ("group", TimeoutOf::Group),
    ("group_tunnel", TimeoutOf::GroupTunnel),
    ("response", TimeoutOf::Response),
    ("tunnel", TimeoutOf::Tunnel),
];

/// What is counted of a listener.
pub(crate) const LISTENER_FIGURES: &[(&str, ListenerFigure)] = &[
    ("connections", ListenerFigure::Connections),
    ("connection_rate", ListenerFigure::ConnectionRate),
    ("request_rate", ListenerFigure::RequestRate),
];

/// What is counted of a group.
pub(crate) const GROUP_FIGURES: &[(&str, GroupFigure)] = &[
    ("queued", GroupFigure::Queued),
    ("average_queue", GroupFigure::AverageQueue),
    ("connection_rate", GroupFigure::ConnectionRate),
    ("free_slots", GroupFigure::FreeSlots),
    ("free_connections", GroupFigure::FreeConnections),
];

/// What is known of a target.
pub(crate) const TARGET_FIGURES: &[(&str, TargetFigure)] = &[
    ("usable", TargetFigure::Usable),
    ("connections", TargetFigure::Connections),
    ("queued", TargetFigure::Queued),
    ("weight", TargetFigure::Weight),
    ("configured_weight", TargetFigure::ConfiguredWeight),
    ("free_connections", TargetFigure::FreeConnections),
    ("connection_rate", TargetFigure::ConnectionRate),
];

/// Counters without a number.
pub(crate) const COUNTERS: &[(&str, Counter)] = &[
    ("connections", Counter::Connections),
    ("open_connections", Counter::OpenConnections),
    ("connection_rate", Counter::ConnectionRate),
    ("sessions", Counter::Sessions),
    ("session_rate", Counter::SessionRate),
    ("requests", Counter::Requests),
    ("request_rate", Counter::RequestRate),
    ("errors", Counter::Errors),
    ("error_rate", Counter::ErrorRate),
    ("failures", Counter::Failures),
    ("failure_rate", Counter::FailureRate),
    ("bytes_in", Counter::BytesIn),
    ("bytes_in_rate", Counter::BytesInRate),
    ("bytes_out", Counter::BytesOut),
    ("bytes_out_rate", Counter::BytesOutRate),
    ("target", Counter::Target),
];

/// What is known of a stick table as a whole.
pub(crate) const TABLE_FIGURES: &[(&str, TableFigure)] =
    &[("used", TableFigure::Used), ("free", TableFigure::Free)];

/// Counters with a number, as in `general(0)`.
pub(crate) const NUMBERED_COUNTERS: [&str; 3] = ["general", "general_rate", "mark"];

/// How long a variable lives.
pub(crate) const SCOPES: &[(&str, Scope)] = &[
    ("process", Scope::Process),
    ("connection", Scope::Connection),
    ("exchange", Scope::Exchange),
    ("request", Scope::Request),
    ("response", Scope::Response),
    ("check", Scope::Check),
];
