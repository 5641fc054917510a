//! Certificates, stick tables, maps and lists of users.

use super::limits::{self, MAX_KEY_BYTES, MAX_TABLE_SIZE};
use super::ocsp;
use super::resolve::reason;
use super::text::check_file;
use super::{Compiler, Reported};
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{CertificateDraft, MapDraft, StickTableDraft, UserlistDraft};
use crate::expression::NumberRange;
use crate::expression::StoredCounter;
use crate::settings::{KeyType, MapMatch, Password};
use crate::snapshot::{Certificate, Map, StickTable, User, Userlist};
use crate::span::{Origin, Span, Spanned};
use crate::stage::Pattern;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

impl Compiler<'_> {
    /// Reports what an object must say and does not.
    fn missing(&mut self, span: Span, wrong: String, help: &str) -> Reported {
        self.found
            .push(Diagnostic::error(Code::Missing, span, wrong).help(help));
        Reported
    }

    pub(super) fn certificate_files(
        &mut self,
        _: usize,
        draft: &CertificateDraft,
    ) -> Result<Certificate, Reported> {
        for file in [&draft.file, &draft.key].into_iter().flatten() {
            check_file(&mut self.found, "this", &file.value, file.span);
        }
        let file = match (&draft.file, &draft.pem) {
            (Some(file), _) => file.value.clone(),
            (None, Some(_)) => draft.name.value.to_string(),
            (None, None) => {
                let wrong = format!("certificate `{}` has no file", draft.name.value);
                let help = "name a PEM file with the certificate and its chain in `file`";
                return Err(self.missing(draft.name.span, wrong, help));
            }
        };
        if let Some(pem) = &draft.pem
            && let Some(other) = draft.file.as_ref().or(draft.key.as_ref())
        {
            let message = "a certificate has its text here or in files, not both";
            let conflict = Diagnostic::error(Code::Conflict, pem.span, message);
            self.found
                .push(conflict.label(other.span, "the file is here"));
        }
        if let Some(ocsp) = &draft.ocsp.file {
            check_file(
                &mut self.found,
                "the answer of OCSP",
                &ocsp.value,
                ocsp.span,
            );
        }
        if let Some(issuer) = &draft.issuer {
            let found = &mut self.found;
            check_file(found, "the issuer", &issuer.value, issuer.span);
        }
        for name in &draft.names {
            let host = name.value.strip_prefix('!').unwrap_or(&name.value);
            if host.is_empty() || host.contains(char::is_whitespace) {
                let message = format!("`{}` is not the name of a host", name.value);
                self.found
                    .push(Diagnostic::error(Code::WrongType, name.span, message));
            }
        }
        Ok(Certificate {
            names: draft
                .names
                .iter()
                .map(|name| name.value.to_ascii_lowercase())
                .collect(),
            name: draft.name.value.clone(),
            file,
            key: draft.key.as_ref().map(|key| key.value.clone()),
            pem: draft.pem.as_ref().map(|pem| pem.value.clone()),
            issuer: draft.issuer.as_ref().map(|file| file.value.clone()),
            ocsp: draft.ocsp.file.as_ref().map(|file| file.value.clone()),
            ocsp_fetch: ocsp::fetch(&draft.ocsp, &mut self.found),
            tls: self.certificate_tls(draft).map(Box::new),
            origin: Origin(draft.name.span),
        })
    }

    pub(super) fn table_of_counters(
        &mut self,
        _: usize,
        draft: &StickTableDraft,
    ) -> Result<StickTable, Reported> {
        let name = &draft.name;
        let key = draft.key.map(|key| key.value).ok_or_else(|| {
            let wrong = format!(
                "stick table `{}` does not say what its keys are",
                name.value
            );
            self.missing(
                name.span,
                wrong,
                "say `key = \"address\"`, `\"number\"` or `\"text\"`",
            )
        });
        let size = draft.size.map(|size| size.value).ok_or_else(|| {
            let wrong = format!("stick table `{}` does not say its size", name.value);
            self.missing(
                name.span,
                wrong,
                "say how many entries it has at most in `size`",
            )
        });
        let found = &mut self.found;
        limits::given_within(found, "a size", draft.size, (1, MAX_TABLE_SIZE));
        if let Some(Spanned {
            value: KeyType::Text { length } | KeyType::Binary { length },
            span,
        }) = draft.key
        {
            limits::within(found, "a key length", length, (1, MAX_KEY_BYTES), span);
        }
        if let Some(expire) = draft.expire {
            limits::check_duration(found, "the life of an entry", expire.value, expire.span);
        }
        for (index, stored) in draft.store.iter().enumerate() {
            let mut before = draft.store.iter().take(index);
            let first = before.find(|first| first.value.counter == stored.value.counter);
            self.check_stored(stored, first);
        }
        Ok(StickTable {
            name: name.value.clone(),
            key: key?,
            size: size?,
            expire: draft.expire.map(|expire| expire.value),
            when_full: draft.when_full.map_or(defaults::WHEN_FULL, |x| x.value),
            target_key: draft.target_key.map_or(defaults::TARGET_KEY, |x| x.value),
            store: draft.store.iter().map(|stored| stored.value).collect(),
            origin: Origin(name.span),
        })
    }

    fn check_stored(
        &mut self,
        stored: &Spanned<StoredCounter>,
        first: Option<&Spanned<StoredCounter>>,
    ) {
        let found = &mut self.found;
        if let Some(first) = first {
            found.push(
                Diagnostic::error(Code::Duplicate, stored.span, "a counter is stored twice")
                    .label(first.span, "the first is here"),
            );
        }
        match (stored.value.counter.is_rate(), stored.value.period) {
            (true, None) => found.push(
                Diagnostic::error(Code::Missing, stored.span, "a rate without a period")
                    .help("say over which time it is counted, such as `10s`"),
            ),
            (false, Some(_)) => found.push(
                Diagnostic::error(
                    Code::Conflict,
                    stored.span,
                    "a period on what is not a rate",
                )
                .help("leave the period out, or store the rate"),
            ),
            (true, Some(period)) => {
                limits::check_duration(found, "the period of a rate", period, stored.span);
            }
            (false, None) => {}
        }
    }

    pub(super) fn map_of_texts(&mut self, _: usize, draft: &MapDraft) -> Result<Map, Reported> {
        let compare = draft.compare.map_or(defaults::MAP_COMPARE, |x| x.value);
        let mut first: HashMap<&str, Span> = HashMap::new();
        for (key, _) in &draft.entries {
            self.check_map_key(key, compare);
            if let Some(place) = first.get(key.value.as_str()) {
                self.found.push(
                    Diagnostic::warning(
                        Code::Duplicate,
                        key.span,
                        format!("the key `{}` is there twice; the first counts", key.value),
                    )
                    .label(*place, "the first is here"),
                );
            }
            first.entry(key.value.as_str()).or_insert(key.span);
        }
        match &draft.file {
            Some(file) => check_file(&mut self.found, "this", &file.value, file.span),
            None if draft.entries.is_empty() => {
                let wrong = format!("map `{}` has neither entries nor a file", draft.name.value);
                return Err(self.missing(draft.name.span, wrong, "give `entries` or a `file`"));
            }
            None => {}
        }
        let entries = draft.entries.iter();
        Ok(Map {
            name: draft.name.value.clone(),
            file: draft.file.as_ref().map(|file| file.value.clone()),
            lines: draft.lines.map_or(defaults::MAP_LINES, |lines| lines.value),
            entries: entries
                .map(|(key, value)| (key.value.clone(), value.value.clone()))
                .collect(),
            compare,
            ignore_case: draft.ignore_case.is_some_and(|x| x.value),
            origin: Origin(draft.name.span),
        })
    }

    fn check_map_key(&mut self, key: &Spanned<String>, compare: MapMatch) {
        match compare {
            MapMatch::Text(_) => {}
            MapMatch::Number => {
                if NumberRange::parse(&key.value).is_none() {
                    let wrong = format!("`{}` is neither a number nor a range", key.value);
                    let wrong = Diagnostic::error(Code::WrongType, key.span, wrong);
                    self.found.push(wrong.help("write it like `5` or `5..7`"));
                }
            }
            MapMatch::Regex => {
                if let Err(error) = Pattern::new(&key.value) {
                    self.found.push(
                        Diagnostic::error(
                            Code::BadPattern,
                            key.span,
                            format!("the regular expression `{}` does not compile", key.value),
                        )
                        .help(reason(&error)),
                    );
                }
            }
            MapMatch::Address => {
                let text = key.value.as_str();
                if text.parse::<IpNet>().is_err() && text.parse::<IpAddr>().is_err() {
                    self.found.push(
                        Diagnostic::error(
                            Code::WrongType,
                            key.span,
                            format!("`{text}` is neither an address nor a network"),
                        )
                        .help("write it like `192.0.2.1` or `2001:db8::/32`"),
                    );
                }
            }
        }
    }

    pub(super) fn list_of_users(
        &mut self,
        _: usize,
        draft: &UserlistDraft,
    ) -> Result<Userlist, Reported> {
        let mut first: HashMap<&str, Span> = HashMap::new();
        for one in &draft.users {
            let user = &one.name;
            let name = user.value.as_str();
            if let Some(place) = first.get(name) {
                self.found.push(
                    Diagnostic::error(
                        Code::Duplicate,
                        user.span,
                        format!("user `{name}` is there twice"),
                    )
                    .label(*place, "the first is here"),
                );
            }
            first.entry(name).or_insert(user.span);
            if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
                self.found.push(
                    Diagnostic::error(
                        Code::OutOfRange,
                        user.span,
                        format!("`{}` cannot be a user's name", name.escape_debug()),
                    )
                    .help("Basic authorization ends a name at its first colon"),
                );
            }
            let (Password::Crypt(secret) | Password::Plain(secret)) = &one.password.value;
            if secret.is_empty() {
                let wrong = format!("user `{name}` has no password hash");
                self.missing(
                    one.password.span,
                    wrong,
                    "make one with `openssl passwd -6`",
                );
            }
        }
        let users = draft.users.iter();
        Ok(Userlist {
            name: draft.name.value.clone(),
            users: users
                .map(|user| User {
                    name: user.name.value.clone(),
                    password: user.password.value.clone(),
                    groups: user
                        .groups
                        .iter()
                        .map(|group| group.value.clone())
                        .collect(),
                })
                .collect(),
            origin: Origin(draft.name.span),
        })
    }
}
