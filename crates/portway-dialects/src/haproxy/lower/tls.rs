//! TLS of binds and of servers.

use super::{Lowering, path_in};
use crate::haproxy::proxy::{Bind, Mode, Proxy, ServerTls, Verification, Versions};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{
    CertificateDraft, ListenerDraft, TlsPolicyDraft, UpstreamTlsDraft, Verify,
};
use portway_model::name::Name;
use portway_model::settings::{ClientAuth, ServerName, VerifyName};
use portway_model::span::Spanned;

/// Files beside a certificate that are no certificates themselves.
const BESIDE: [&str; 4] = [".key", ".ocsp", ".issuer", ".sctl"];
/// A certificate of several keys: one file each.
const BUNDLE: [&str; 3] = [".rsa", ".ecdsa", ".dsa"];

impl Lowering<'_, '_, '_> {
    /// TLS of a listener, by the first of its binds.
    pub(super) fn listener_tls(
        &mut self,
        listener: &mut ListenerDraft,
        proxy: &Proxy,
        bind: &Bind,
    ) {
        let tls = &bind.tls;
        for path in &tls.certificates {
            let path = path
                .clone()
                .map(|path| path_in(self.base.crt_base.as_ref(), &path));
            self.certificates(listener, &path);
        }
        for list in &tls.certificate_lists {
            self.certificate_list(listener, list);
        }
        if tls.certificates.is_empty() && tls.certificate_lists.is_empty() {
            let message = format!(
                "this `bind` of {} has `ssl` and no certificate",
                proxy.words()
            );
            let help = "write `crt FILE` with a PEM file of certificate and key";
            self.reader
                .push(Diagnostic::error(Code::Missing, bind.span, message).help(help));
        }
        listener.tls.policy = policy(
            tls.versions.or(self.base.bind_options),
            tls.ciphers.as_ref().or(self.base.bind_ciphers.as_ref()),
            tls.ciphersuites
                .as_ref()
                .or(self.base.bind_ciphersuites.as_ref()),
        );
        listener.tls.alpn = self.alpn(tls.alpn.as_ref());
        listener.tls.strict_sni = tls.strict_sni.map(|span| Spanned::new(true, span));
        self.client_certificates(listener, bind);
    }

    fn client_certificates(&mut self, listener: &mut ListenerDraft, bind: &Bind) {
        let tls = &bind.tls;
        let Some(verify) = tls
            .verify
            .filter(|verify| verify.value != Verification::None)
        else {
            return;
        };
        listener.tls.client_auth = Some(verify.map(|verify| match verify {
            Verification::Optional => ClientAuth::Optional,
            _ => ClientAuth::Required,
        }));
        let based = |path: &Spanned<String>| {
            path.clone()
                .map(|path| path_in(self.base.ca_base.as_ref(), &path))
        };
        let file = tls.ca_file.as_ref().map(based);
        let crl = tls.crl_file.as_ref().map(based);
        match file {
            Some(file) => {
                self.exists(&file, "the CA file");
                listener.tls.client_ca = Some(file);
            }
            None => {
                let message = "`verify` needs the CAs that client certificates come from";
                self.reader.push(
                    Diagnostic::error(Code::Missing, verify.span, message)
                        .help("write `ca-file FILE`"),
                );
            }
        }
        if let Some(crl) = crl {
            self.exists(&crl, "the CRL file");
            listener.tls.client_crl = Some(crl);
        }
    }

    /// HTTP/2 is left out where HTTP/1.1 is offered too.
    fn alpn(&mut self, given: Option<&Spanned<Vec<String>>>) -> Option<Spanned<Vec<String>>> {
        let given = given?;
        let spoken: Vec<String> = given
            .value
            .iter()
            .filter(|name| *name != "h2")
            .cloned()
            .collect();
        if spoken.len() == given.value.len() {
            return Some(given.clone());
        }
        if spoken.is_empty() {
            let message = "not run yet: HTTP/2";
            let help = "write `alpn http/1.1`, or `alpn h2,http/1.1` to have HTTP/2 as soon as it is there";
            self.reader
                .push(Diagnostic::error(Code::NotRun, given.span, message).help(help));
        } else {
            let message = "HTTP/2 is not spoken yet: `h2` is not offered to clients";
            self.reader.push(
                Diagnostic::warning(Code::NotRun, given.span, message).help("they use HTTP/1.1"),
            );
        }
        Some(Spanned::new(spoken, given.span))
    }

    /// A file, or every file of a folder.
    fn certificates(&mut self, listener: &mut ListenerDraft, path: &Spanned<String>) {
        let Some(names) = (self.reader.inputs.list)(&path.value) else {
            self.certificate(listener, path, &[]);
            return;
        };
        let folder = path.value.trim_end_matches('/');
        let good = |name: &&String| {
            !name.starts_with('.') && !BESIDE.iter().any(|end| name.ends_with(end))
        };
        let names: Vec<String> = names
            .iter()
            .filter(good)
            .map(|name| format!("{folder}/{name}"))
            .collect();
        for name in names {
            self.certificate(listener, &Spanned::new(name, path.span), &[]);
        }
    }

    /// One file, for these host names or those in it; where it is not there, the files of a bundle of that name.
    fn certificate(
        &mut self,
        listener: &mut ListenerDraft,
        path: &Spanned<String>,
        hosts: &[Spanned<String>],
    ) {
        let read = self.reader.inputs.read;
        let failure = match read(&path.value) {
            Ok(bytes) => {
                let base = match path.value.strip_suffix(".crt") {
                    Some(base) if self.base.cut_extension => base,
                    _ => path.value.as_str(),
                };
                let key = format!("{base}.key");
                let own = String::from_utf8_lossy(&bytes).contains("PRIVATE KEY-----");
                let beside = !own && !self.base.no_key_files && read(&key).is_ok();
                let beside = beside.then_some(key);
                self.add_certificate(listener, path, beside, hosts);
                return;
            }
            Err(failure) => failure,
        };
        let parts: Vec<String> = BUNDLE
            .iter()
            .map(|end| format!("{}{end}", path.value))
            .filter(|part| !self.base.no_bundles && read(part).is_ok())
            .collect();
        if parts.is_empty() {
            let message = format!("cannot read `{}`: {failure}", path.value);
            self.reader.error(Code::Unreadable, path.span, message);
        }
        for part in parts {
            self.certificate(listener, &Spanned::new(part, path.span), hosts);
        }
    }

    fn add_certificate(
        &mut self,
        listener: &mut ListenerDraft,
        path: &Spanned<String>,
        key: Option<String>,
        hosts: &[Spanned<String>],
    ) {
        let words = std::iter::once(&path.value).chain(hosts.iter().map(|it| &it.value));
        let words: Vec<&str> = words.map(String::as_str).collect();
        let name = path.clone().map(|_| Name::from(words.join(" ")));
        if !listener.certificates.contains(&name) {
            listener.certificates.push(name.clone());
        }
        let known = self
            .draft
            .certificates
            .iter()
            .any(|known| known.name == name);
        if !known {
            self.draft.certificates.push(CertificateDraft {
                name,
                file: Some(path.clone()),
                key: key.map(|key| Spanned::new(key, path.span)),
                pem: None,
                names: hosts.to_vec(),
            });
        }
    }

    /// `crt-list FILE`: a certificate a line, with the names that it is for; options are not taken.
    fn certificate_list(&mut self, listener: &mut ListenerDraft, list: &Spanned<String>) {
        let path = self.reader.path(&list.value, list.span);
        let text = match (self.reader.inputs.read)(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(failure) => {
                let message = format!("cannot read `{}`: {failure}", list.value);
                self.reader.error(Code::Unreadable, list.span, message);
                return;
            }
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let Some((path, rest)) = line.split_once([' ', '\t']).or(Some((line, ""))) else {
                continue;
            };
            if path.is_empty() || path.starts_with('#') {
                continue;
            }
            let (options, hosts) = match rest.trim().strip_prefix('[') {
                Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
                None => ("", rest),
            };
            if !options.trim().is_empty() {
                let message = format!(
                    "{}:{}: options of a certificate are not run yet",
                    list.value,
                    index + 1
                );
                self.reader.error(Code::NotRun, list.span, message);
            }
            let hosts = hosts.split_whitespace();
            let hosts = hosts.map(|host| Spanned::new(host.to_owned(), list.span));
            let hosts: Vec<Spanned<String>> = hosts.collect();
            let path = Spanned::new(path_in(self.base.crt_base.as_ref(), path), list.span);
            match hosts.is_empty() {
                true => self.certificates(listener, &path),
                false => self.certificate(listener, &path, &hosts),
            }
        }
    }

    /// Says where a file cannot be read.
    fn exists(&mut self, path: &Spanned<String>, what: &str) {
        if let Err(failure) = (self.reader.inputs.read)(&path.value) {
            let message = format!("cannot read {what} `{}`: {failure}", path.value);
            self.reader.error(Code::Unreadable, path.span, message);
        }
    }

    /// TLS towards servers, by what one of them says.
    pub(super) fn upstream_tls(
        &mut self,
        proxy: &Proxy,
        tls: &ServerTls,
        server: &Spanned<String>,
    ) -> UpstreamTlsDraft {
        if let Some(alpn) = &tls.alpn {
            self.upstream_alpn(proxy, alpn);
        }
        let verify = match (&tls.verify, &tls.ca_file) {
            (Some(verify), _) if !verify.value => Some(verify.map(|_| Verify::Off)),
            (None, None) if self.base.verify_none => Some(Spanned::bare(Verify::Off)),
            (_, Some(file)) if file.value == "@system-ca" => {
                Some(file.clone().map(|_| Verify::System))
            }
            (_, Some(file)) => {
                let file = file
                    .clone()
                    .map(|path| path_in(self.base.ca_base.as_ref(), &path));
                self.exists(&file, "the CA file");
                Some(file.map(Verify::Ca))
            }
            (_, None) => {
                let message = format!(
                    "server `{}` of {} is verified, and there are no CAs to verify it by",
                    server.value,
                    proxy.words()
                );
                let help =
                    "write `ca-file FILE`, or `verify none` where the network between is trusted";
                self.reader
                    .push(Diagnostic::error(Code::Missing, server.span, message).help(help));
                None
            }
        };
        let verified = verify.as_ref().is_some_and(|it| it.value != Verify::Off);
        let crl = tls.crl_file.as_ref().map(|path| {
            let path = path.clone();
            path.map(|path| path_in(self.base.ca_base.as_ref(), &path))
        });
        if let Some(crl) = &crl {
            self.exists(crl, "the CRL file");
        }
        // The name that is sent counts before that of `verifyhost`; without either, any will do.
        let otherwise = match &tls.verify_host {
            Some(host) => host.clone().map(VerifyName::SentOr),
            None => Spanned::bare(VerifyName::SentOrAny),
        };
        UpstreamTlsDraft {
            verify,
            server_name: self.server_name(tls),
            verify_name: verified.then_some(otherwise),
            crl: crl.filter(|_| verified),
            policy: policy(
                tls.versions.or(self.base.server_options),
                tls.ciphers.as_ref().or(self.base.server_ciphers.as_ref()),
                tls.ciphersuites
                    .as_ref()
                    .or(self.base.server_ciphersuites.as_ref()),
            ),
            certificate: tls
                .certificate
                .as_ref()
                .and_then(|path| self.client_certificate(path)),
        }
    }

    /// Protocols that servers are offered: HTTP/1.1 in mode http, whatever else there is; none in mode tcp.
    fn upstream_alpn(&mut self, proxy: &Proxy, given: &Spanned<Vec<String>>) {
        let has = |name: &str| given.value.iter().any(|it| it == name);
        let wrong = match proxy.mode() {
            Mode::Http if has("http/1.1") && has("h2") => {
                let message = "HTTP/2 is not spoken yet: `h2` is not offered to servers";
                let warning = Diagnostic::warning(Code::NotRun, given.span, message);
                self.reader.push(warning.help("HTTP/1.1 is used"));
                return;
            }
            Mode::Http if has("http/1.1") => return,
            Mode::Http => "not run yet: servers that do not speak HTTP/1.1",
            Mode::Tcp => "not run yet: `alpn` of servers in mode tcp",
        };
        self.reader
            .push(Diagnostic::error(Code::NotRun, given.span, wrong));
    }

    /// Our certificate towards servers.
    fn client_certificate(&mut self, path: &Spanned<String>) -> Option<Spanned<Name>> {
        let path = path
            .clone()
            .map(|path| path_in(self.base.crt_base.as_ref(), &path));
        let mut holder = ListenerDraft::new(path.clone().map(Name::from));
        self.certificate(&mut holder, &path, &[]);
        holder.certificates.pop()
    }

    /// `sni EXPRESSION`, where the model has it.
    fn server_name(&mut self, tls: &ServerTls) -> Option<Spanned<ServerName>> {
        let Some(sni) = &tls.sni else {
            return Some(Spanned::bare(ServerName::None));
        };
        let text = sni.value.as_str();
        let fixed = text
            .strip_prefix("str(")
            .and_then(|rest| rest.strip_suffix(')'));
        let name = match (fixed, text) {
            (Some(name), _) => ServerName::Fixed(name.trim_matches(['\'', '"']).to_owned()),
            (None, "ssl_fc_sni") => ServerName::Client,
            (
                None,
                "req.hdr(host)"
                | "hdr(host)"
                | "req.hdr(Host)"
                | "hdr(Host)"
                | "req.hdr(host),field(1,:)"
                | "hdr(host),field(1,:)"
                | "req.hdr(host),host_only"
                | "hdr(host),host_only",
            ) => ServerName::Host,
            _ => {
                let message = format!("not run yet: `sni {text}`");
                let help = "run are `sni str(NAME)`, `sni ssl_fc_sni` and `sni req.hdr(host)`";
                self.reader
                    .push(Diagnostic::error(Code::NotRun, sni.span, message).help(help));
                return None;
            }
        };
        Some(Spanned::new(name, sni.span))
    }
}

/// Versions and suites. The list of TLS 1.2 is in OpenSSL's own language, of which the names are taken.
fn policy(
    versions: Versions,
    ciphers: Option<&Spanned<String>>,
    suites: Option<&Spanned<String>>,
) -> TlsPolicyDraft {
    let names = |list: &Spanned<String>| -> Vec<Spanned<String>> {
        let plain = |name: &&str| {
            let keyword = !name.contains('-') && !name.starts_with("TLS_");
            !name.is_empty() && !name.starts_with(['!', '-', '+', '@']) && !keyword
        };
        let parts = list.value.split([':', ',', ' ']).filter(plain);
        parts
            .map(|name| Spanned::new(name.to_owned(), list.span))
            .collect()
    };
    let mut listed: Vec<Spanned<String>> = Vec::new();
    let first = suites.or(ciphers).map(|list| list.span);
    for list in [suites, ciphers].into_iter().flatten() {
        listed.extend(names(list));
    }
    TlsPolicyDraft {
        name: None,
        min_version: versions.min,
        max_version: versions.max,
        suites: first
            .filter(|_| !listed.is_empty())
            .map(|span| Spanned::new(listed, span)),
    }
}
