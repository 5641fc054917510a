//! Digest authorization (RFC 7616): who may pass, by what clients prove that they know without saying it.
//!
//! The algorithm is MD5 and the quality of protection `auth`: what every client knows. A user is known by HA1, the MD5 of name,
//! realm and password, which is as good as the password for this realm and must be kept as secret.

/// Letters of an HA1.
const HA1_LENGTH: usize = 32;

/// Who may pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DigestAuth {
    /// Shown to the user, and part of every HA1.
    pub realm: String,
    /// Users; one name stands once.
    pub users: Vec<DigestUser>,
    /// A field of the request that names the user; the client's own of that name is taken away.
    pub user_header: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DigestUser {
    /// Its name.
    pub name: String,
    /// MD5 of `name:realm:password`, in lower case hexadecimal.
    pub ha1: Ha1,
}

/// MD5 of `name:realm:password`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ha1(String);

impl Ha1 {
    /// `None`: not 32 hexadecimal digits.
    pub fn new(text: &str) -> Option<Self> {
        let good = text.len() == HA1_LENGTH && text.bytes().all(|it| it.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase()))
    }

    /// In lower case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret.
impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha1(…)")
    }
}
