//! Properties of the model over generated drafts.
#![cfg(test)]

use portway_model::compile::compile;
use portway_model::diagnostic::Severity;
use portway_model::draft::Draft;
use portway_model::lift::lift;
use portway_model::merge::merge;
use portway_testkit::generate::drafts;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

/// What is wrong with a draft, for the message of a failing case.
fn errors(draft: &Draft) -> Vec<String> {
    let (_, found) = compile(draft);
    let errors = found.iter().filter(|x| x.severity == Severity::Error);
    errors
        .map(|x| format!("{}: {}", x.code, x.message))
        .collect()
}

/// The objects of each kind from last to first.
fn reversed(mut draft: Draft) -> Draft {
    draft.listeners.reverse();
    draft.groups.reverse();
    draft.certificates.reverse();
    draft.stick_tables.reverse();
    draft.maps.reverse();
    draft.userlists.reverse();
    draft
}

proptest! {
    #[test]
    fn generated_drafts_compile(draft in drafts()) {
        prop_assert_eq!(errors(&draft), Vec::<String>::new());
    }

    #[test]
    fn what_is_lifted_compiles_to_the_same(draft in drafts()) {
        let Some(first) = compile(&draft).0 else {
            return Err(TestCaseError::fail("does not compile"));
        };
        let lifted = lift(&first);
        prop_assert_eq!(errors(&lifted), Vec::<String>::new());
        let second = compile(&lifted).0;
        prop_assert_eq!(second.as_ref(), Some(&first));
        // What is left out stays left out.
        prop_assert_eq!(lift(&first), second.map(|second| lift(&second)).unwrap_or_default());
    }

    #[test]
    fn the_order_of_objects_says_nothing(draft in drafts()) {
        let forth = compile(&draft).0.map(|snapshot| lift(&snapshot));
        let back = compile(&reversed(draft)).0.map(|snapshot| reversed(lift(&snapshot)));
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn one_source_is_merged_into_itself(draft in drafts()) {
        let (merged, found) = merge(vec![draft.clone()]);
        prop_assert!(found.is_empty());
        prop_assert_eq!(merged, draft);
    }

    #[test]
    fn broken_drafts_do_not_panic(mut draft in drafts(), other in drafts()) {
        // Objects of two drafts: names and addresses twice, references into nothing, protocols that do not fit.
        draft.listeners.extend(other.listeners);
        draft.groups.truncate(1);
        draft.groups.extend(other.groups);
        draft.maps = other.maps;
        draft.stick_tables = other.stick_tables;
        let (snapshot, found) = compile(&draft);
        prop_assert_eq!(snapshot.is_none(), found.has_errors());
    }
}

/// Every word of the model's closed sets.
const WORDS: &str = "HeaderPart Line Item HeaderNames CookieCount Argument BodyArgument HostPath ReceivedMethod \
    ReceivedTarget BasicPassword AuthorizationScheme Bearer FirstRequest ResponseVersion InUserGroup OfGroup OfTarget \
    Queued AverageQueue FreeSlots Usable Weight NowMicroseconds Uuid Worker Draining Boolean Binary Calculate \
    Subtract Divide And Or Xor Negate Complement FirstLine HostName HostPort TrimStart TrimEnd Otherwise Choose \
    Join Truth Even Odd SameSecret Base64Url HexNumber FormDecode UrlEncode JsonEscape Utf8Lossy Compare Hash Crc32c Djb2 Sdbm Wt6 Xxh32 Xxh64 \
    Xxh3 FixMessage FixTag MqttPacket Mqtt RdpCookie TargetQueue AnyCookie AuthenticatedUser WithSource Matched Within \
    ProtocolName ProtocolVersion ClientIdentifier WillTopic WillPayload Username Password KeepAlive ReasonCode Property \
    Digest Md5 Hmac Date HttpDate Language LastOutside Pairs Keys \
    All Any Not Test Present True Text Regex Number Address Listed Exact Prefix Suffix Contains Glob \
    Segment Label Source SourcePort Destination DestinationPort ListenerName Tls TlsVersion TlsCipher Sni Alpn \
    ClientCertificate Verified Subject Issuer Serial Fingerprint NotBefore NotAfter Pem HelloSni HelloAlpn HelloType IsHttp \
    PayloadLength Payload Method Scheme HttpVersion Host Path Query QueryParameter Target Url Base Header HeaderCount \
    Cookie Body BodyLength BasicUser RequestId Status ResponseHeader ResponseCookie Variable Capture Authenticated \
    Counter Tracked Key HealthyTargets GroupConnections ListenerConnections GroupName TargetName TargetAddress Random \
    Now Hostname Environment Log StartTime StartTimeCommon RequestTime QueueTime ConnectTime ResponseTime TotalTime \
    BytesIn BytesOut Retries Termination TerminationLetters RequestLine CapturedRequest CapturedResponse \
    ProcessConnections TargetConnections GroupQueue TargetQueue Process Connection Exchange Request Response \
    Connections OpenConnections ConnectionRate Requests RequestRate Errors ErrorRate BytesInRate BytesOutRate General \
    GeneralRate Mark Lower Upper Trim Replace Field Word Map Default Base64 Base64Decode Hex UrlDecode Length \
    Mask Json JwtHeader JwtPayload JwtVerify Sha256 Bytes ClientHello AfterResponse Forward ForwardByHash ForwardByName \
    Redirect Respond Authenticate DigestAuth Authorize Jwt Cors SecurityHeaders SetArgument RemoveArgument Cookie Rs256 Rs384 Rs512 Ps256 Ps384 Ps512 Es256 Es384 Es512 EdDsa Hs256 Hs384 Hs512 Secret Words List PassMissing Pass Refuse Mirror TraceContext TraceId SpanId Nobody Proxies Everybody Accept DisableL7Retry Reject Tarpit Service Stats Metrics SetHeader AddHeader RemoveHeader \
    ReplaceHeader SetPath ReplacePath StripPrefix AddPrefix SetQuery SetTarget SetUrl ReplaceUrl SetMethod SetStatus SetVariable \
    UnsetVariable PutEntry RemoveEntry NotSet NotEmpty Track Increment SetTimeout SetPriority Class Offset Attempt Total Safe Misdirected TooEarly Unavailable Statuses Tunnel SetLog Http Https Tcp Unix Inherited ClientDestination Ip Name \
    RoundRobin StaticRoundRobin LeastOutstanding SourceHash Random First Hash Consistent Ring Sdbm Djb2 Wt6 Table StickyCookie Strict Lax Script Connect Send \
    Expect Off System Ca Client Fixed Optional Required V1 V2 V12 V13 Stdout File Syslog Append Preserve Remove Refuse \
    FailOpen Combined Alb Template ErrorPageDraft AccessLogDraft Deny RemoveHeaders ReplaceTarget WaitForBody Limit Rate Concurrency Compress Gzip Brotli Zstd Deflate RawDeflate Identity Milliseconds \
    ErrorPage ErrorPageFile StartTimeLocal StartDate AcceptTimeCommon AcceptTimeLocal AcceptDate AcceptSeconds \
    AcceptMilliseconds HandshakeTime IdleTime UntilRequestTime DataTime SessionTime UserTime RetriesMarked \
    TerminationShort RequestMethod RequestUri RequestUriPath RequestPath RequestQuery RequestVersion \
    CapturedRequestList CapturedResponseList CapturedRequestCookie CapturedResponseCookie ClientAddress ClientPort \
    ListenerAddress ListenerPort UpstreamAddress UpstreamPort TargetIp TargetPort ListenerTransport Backend Server \
    ProcessId RequestCounter LogCounter ConnectionError Quoted Backslashed Hexadecimal Udp Stderr Descriptor Local \
    Rfc3164 Rfc5424 Priority Short Timed Iso Raw Emerg Alert Crit Err Warning Notice Info Debug Kern Local7 Sample \
    RequestIdDraft CaptureCookie Crypt Plain Portway Haproxy UserDraft \
    Insert Rewrite Passive Generated Given Dynamic Another Same SameThenAnother \
    ConnectFailure EmptyResponse JunkResponse ResponseTimeout EarlyDataRejected TrackedDraft Last Resolver SetStickiness Stick UseTarget ErrorAnswer \
    Ignore Force Both Match Store Target Address6 TargetCheckDraft Service SslHello Smtp Mysql Postgres Redis Ldap CheckRequest Pattern HexPattern \
    StatusPattern BodyPattern L7Status Normalize MergeSlashes StripDot StripDotdot StripDotdotFull SortQuery DecodeUnreserved \
    DecodeUnreservedStrict UppercasePercent UppercasePercentStrict SetEnd Chunks \
    Decimal MapGroups ResponseCapture Accepted Timeout Group GroupTunnel HeaderBlock TargetNumber IsLocal Milliseconds Microseconds FreeConnections ConfiguredWeight ListenerConnectionRate ListenerRequestRate OfListener TlsSessionId";

#[test]
fn every_word_of_the_model_is_generated() {
    let mut missing: BTreeSet<&str> = WORDS.split_whitespace().collect();
    let mut runner = TestRunner::deterministic();
    for _ in 0..20_000 {
        let draft = drafts().new_tree(&mut runner).unwrap().current();
        let text = format!("{draft:?}");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        for word in words {
            missing.remove(word);
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never generated: {missing:?}");
}
