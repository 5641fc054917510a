//! Where traces go: an OpenTelemetry collector.

/// What the process is called in traces where nothing is said.
pub const SERVICE: &str = "portway";
/// The path of a collector where its URL has none (OTLP 1.3, section "OTLP/HTTP Request").
pub const PATH: &str = "/v1/traces";

/// A collector that is sent spans by OTLP over HTTP, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Traces {
    /// `http://…` or `https://…`.
    pub url: String,
    /// A file of authorities, one of which must stand behind the collector's certificate; `None`: those of the system.
    pub ca: Option<String>,
    /// Whether the collector must prove who it is.
    pub verify: bool,
    /// A file of the certificate that it is shown, and of its key where that stands elsewhere.
    pub certificate: Option<String>,
    /// The file of the key.
    pub key: Option<String>,
    /// Headers of requests to it, a token among them.
    pub headers: Vec<(String, String)>,
    /// What the process is called there (`service.name`).
    pub service: String,
}

impl Traces {
    /// Everything by default but the collector.
    pub fn new(url: String) -> Self {
        Self {
            url,
            ca: None,
            verify: true,
            certificate: None,
            key: None,
            headers: Vec::new(),
            service: SERVICE.to_owned(),
        }
    }
}
