//! What a header of the PROXY protocol tells of a client beside its addresses, and what of it is told on.

/// Something that version 2 of the PROXY protocol may tell of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyField {
    /// The ALPN protocol that the client and the proxy agreed on.
    Alpn,
    /// The name that the client asked the proxy for.
    Authority,
    /// What identifies the connection.
    UniqueId,
    /// The network namespace that the client came in.
    NetworkNamespace,
    /// Boolean: the client speaks TLS with the proxy.
    Tls,
    /// Boolean: it showed a certificate, which the proxy verified.
    Verified,
    /// The version of its TLS, such as `TLSv1.3`.
    TlsVersion,
    /// The common name of its certificate.
    CommonName,
    /// The cipher suite.
    Cipher,
    /// What the proxy's own certificate is signed with.
    Signature,
    /// The key of the proxy's own certificate.
    Key,
    /// The VPC endpoint of AWS that the client came by.
    AwsEndpoint,
    /// Number: the private endpoint of Azure that the client came by.
    AzureEndpoint,
    /// Number: the connection of Google Cloud's Private Service Connect that the client came by.
    GcpConnection,
    /// The value of this type, as it came.
    Type(u8),
}

/// Types of parts that have names, for settings that name types.
pub const NAMED_TYPES: &[(&str, u8)] = &[
    ("alpn", 0x01),
    ("authority", 0x02),
    ("unique_id", 0x05),
    ("tls", 0x20),
    ("network_namespace", 0x30),
    ("gcp_connection", 0xE0),
    ("aws_endpoint", 0xEA),
    ("azure_endpoint", 0xEE),
];

/// Types of parts that belong to the header that they stand in: its checksum, and what only fills.
pub const OWN_TYPES: [u8; 2] = [0x03, 0x04];

/// What of a header that a client came with is told to targets, where we have nothing of our own to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PassOn {
    /// Parts of these types.
    Types(Vec<u8>),
    /// All of them.
    All,
}

impl Default for PassOn {
    fn default() -> Self {
        Self::Types(Vec::new())
    }
}

impl PassOn {
    /// Nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether parts of this type are.
    pub fn has(&self, of: u8) -> bool {
        match self {
            Self::Types(types) => types.contains(&of),
            Self::All => !OWN_TYPES.contains(&of),
        }
    }
}
