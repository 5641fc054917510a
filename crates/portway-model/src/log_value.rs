//! Values of access logs.

/// What is known when an exchange, or a TCP connection, ends; before that as far as it is known. Times are milliseconds,
/// -1 where it did not come to that. Texts that clients chose are written as HAProxy does: what is not printable ASCII, and `"` and `#`, is `#` and two
/// hexadecimal digits. The names in brackets are HAProxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogValue {
    /// When the request's first byte came, RFC 3339 with milliseconds.
    StartTime,
    /// The same in UTC, as `10/Oct/2000:13:55:36 +0000` (`%trg`).
    StartTimeCommon,
    /// The same in local time with its offset (`%trl`).
    StartTimeLocal,
    /// The same in local time, as `10/Oct/2000:13:55:36.123` (`%tr`).
    StartDate,
    /// When the connection was accepted, or the response before it had ended, in UTC (`%T`).
    AcceptTimeCommon,
    /// The same in local time with its offset (`%Tl`).
    AcceptTimeLocal,
    /// The same in local time with milliseconds (`%t`).
    AcceptDate,
    /// Number: the same in seconds since 1970 (`%Ts`).
    AcceptSeconds,
    /// The same: milliseconds of its second, three digits (`%ms`).
    AcceptMilliseconds,
    /// Number: for the TLS handshake and the PROXY protocol; 0 for later requests of the connection (`%Th`).
    HandshakeTime,
    /// Number: from there, or from the end of the response before, to the request's first byte (`%Ti`).
    IdleTime,
    /// Number: from the request's first byte until its whole head had come (`%TR`).
    RequestTime,
    /// Number: these three together (`%Tq`).
    UntilRequestTime,
    /// Number: in the queue (`%Tw`).
    QueueTime,
    /// Number: to connect to the target, with all attempts (`%Tc`).
    ConnectTime,
    /// Number: from there to the head of the response (`%Tr`).
    ResponseTime,
    /// Number: from there to the end (`%Td`).
    DataTime,
    /// Number: from the request's first byte, or from accepting a TCP connection, to the end (`%Ta`).
    TotalTime,
    /// Number: from accepting the connection, or the end of the response before, to the end (`%Tt`).
    SessionTime,
    /// Number: the same without the idle time (`%Tu`).
    UserTime,
    /// The name of the text with the rule that ended the rules of a phase last; forwarding ends none (`last_rule_file`).
    RuleFile,
    /// Number: the line of that rule (`last_rule_line`).
    RuleLine,
    /// Number: bytes received from the client.
    BytesIn,
    /// Number: bytes sent to the client.
    BytesOut,
    /// Number: the size of the request as HAProxy counts it: names and values of fields without what is between them (`%U`).
    BytesUploaded,
    /// Number: the size of the target's response as HAProxy counts it (`%B`).
    BytesRead,
    /// Number: the status that the client got; -1 where there was none (`%ST`).
    Status,
    /// Number: attempts beyond the first.
    Retries,
    /// The same, with `+` before it where another target took over (`%rc`).
    RetriesMarked,
    /// The names of the targets that were tried, with `, ` between them, the last one last, as nginx lists them in `$upstream_addr`;
    /// of more than 17 the first 16 and the last.
    TargetsAttempted,
    /// How it ended: the fault's code, `-` without one.
    Termination,
    /// HAProxy's four letters for how it ended; two for a TCP connection (`%tsc`).
    TerminationLetters,
    /// The first two of them (`%ts`).
    TerminationShort,
    /// Method, target and version as received; `<BADREQ>` where there were none (`%r`).
    RequestLine,
    /// The method; `<BADREQ>` as above, so for the next five (`%HM`).
    RequestMethod,
    /// The target of the request as received (`%HU`).
    RequestUri,
    /// The same without the query (`%HP`).
    RequestUriPath,
    /// The same without scheme and host (`%HPO`).
    RequestPath,
    /// The query with its question mark (`%HQ`).
    RequestQuery,
    /// `HTTP/1.1` (`%HV`).
    RequestVersion,
    /// Everything that rules captured from the request, as `{a|b}`; nothing where nothing is captured (`%hr`).
    CapturedRequest,
    /// The same as `a b`, with `-` for one that is missing; each between double quotes where it is quoted (`%hrl`).
    CapturedRequestList,
    /// Everything that rules captured from the response, as `{a|b}` (`%hs`).
    CapturedResponse,
    /// The same list of the response (`%hsl`).
    CapturedResponseList,
    /// The `capture_cookie` of the request, as `name=value` (`%CC`).
    CapturedRequestCookie,
    /// The `capture_cookie` of the response (`%CS`).
    CapturedResponseCookie,
    /// The address of the client; `unix` on a UNIX socket (`%ci`).
    ClientAddress,
    /// Number: its port (`%cp`).
    ClientPort,
    /// The address that the client connected to (`%fi`).
    ListenerAddress,
    /// Number: the port that the client connected to (`%fp`).
    ListenerPort,
    /// Our address towards the target (`%bi`).
    UpstreamAddress,
    /// Number: our port towards the target (`%bp`).
    UpstreamPort,
    /// The address of the target (`%si`).
    TargetIp,
    /// Number: its port (`%sp`).
    TargetPort,
    /// The listener's name, with `~` behind it where the client speaks TLS (`%ft`).
    ListenerTransport,
    /// The target group's name; the listener's where no group was chosen (`%b`).
    Backend,
    /// The target's name; `<NOSRV>` where none was chosen, `<STATS>` for a service of Portway (`%s`).
    Server,
    /// Number: connections open, all listeners together (`%ac`).
    ProcessConnections,
    /// Number: connections open on this listener (`%fc`).
    ListenerConnections,
    /// Number: exchanges that the group has (`%bc`).
    GroupConnections,
    /// Number: exchanges that the target has (`%sc`).
    TargetConnections,
    /// Number: requests that waited for the group before this one (`%bq`).
    GroupQueue,
    /// Number: requests that waited for the target before this one (`%sq`).
    TargetQueue,
    /// Number: of this process (`%pid`).
    ProcessId,
    /// Number: exchanges and TCP connections of this process before this one (`%rt`).
    RequestCounter,
    /// Number: records of this listener before this one (`%lc`).
    LogCounter,
    /// The version of TLS towards the client (`%sslv`).
    TlsVersion,
    /// The cipher suite towards the client, OpenSSL's name (`%sslc`).
    TlsCipher,
    /// Why a connection ended before a request could come, as HAProxy says it.
    ConnectionError,
}

impl LogValue {
    /// True for everything captured of one side; nothing where the listener captures nothing.
    pub fn is_all_captured(self) -> bool {
        matches!(
            self,
            LogValue::CapturedRequest
                | LogValue::CapturedRequestList
                | LogValue::CapturedResponse
                | LogValue::CapturedResponseList
        )
    }

    /// True for the parts of a request line: one that is empty leaves the blanks around it.
    pub fn is_of_request(self) -> bool {
        matches!(
            self,
            LogValue::RequestLine
                | LogValue::RequestMethod
                | LogValue::RequestUri
                | LogValue::RequestUriPath
                | LogValue::RequestPath
                | LogValue::RequestQuery
                | LogValue::RequestVersion
        )
    }

    /// True for texts: HAProxy's flags `Q` and `E` change them, and `-` stands for them where they are empty.
    pub fn is_text(self) -> bool {
        self.is_of_request()
            || self.is_all_captured()
            || matches!(
                self,
                LogValue::CapturedRequestCookie
                    | LogValue::CapturedResponseCookie
                    | LogValue::ClientAddress
                    | LogValue::ListenerAddress
                    | LogValue::UpstreamAddress
                    | LogValue::TargetIp
                    | LogValue::ListenerTransport
                    | LogValue::Backend
                    | LogValue::Server
                    | LogValue::TargetsAttempted
                    | LogValue::RuleFile
                    | LogValue::RuleLine
                    | LogValue::TlsVersion
                    | LogValue::TlsCipher
                    | LogValue::ConnectionError
            )
    }
}
