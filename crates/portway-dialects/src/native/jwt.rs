//! `jwt`: whose tokens are believed, and what is done with them.

use super::form::{Form, Keyed, Out, Reader, words};
use super::limit::given;
use super::pairs;
use crate::tree::{Content, Item};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::jwt::{
    Claim, ClaimForm, Jwt, JwtAlgorithm, KeySource, KeyUrl, OnBadToken, REFRESH, TokenFrom,
};
use std::time::Duration;

/// The keys of the table, and of those in it.
pub(super) const KEYS: [&str; 19] = [
    "keys",
    "secret",
    "ca",
    "refresh",
    "token",
    "algorithms",
    "issuer",
    "audience",
    "leeway",
    "require",
    "claims",
    "set_headers",
    "realm",
    "on_failure",
    "header",
    "cookie",
    "query",
    "list",
    "words",
];

/// How many of these are keys of the table itself.
const OWN: usize = 14;

words!(JwtAlgorithm, "an algorithm such as \"RS256\"", ALGORITHMS:
    "RS256" => JwtAlgorithm::Rs256,
    "RS384" => JwtAlgorithm::Rs384,
    "RS512" => JwtAlgorithm::Rs512,
    "PS256" => JwtAlgorithm::Ps256,
    "PS384" => JwtAlgorithm::Ps384,
    "PS512" => JwtAlgorithm::Ps512,
    "ES256" => JwtAlgorithm::Es256,
    "ES384" => JwtAlgorithm::Es384,
    "ES512" => JwtAlgorithm::Es512,
    "EdDSA" => JwtAlgorithm::EdDsa,
    "HS256" => JwtAlgorithm::Hs256,
    "HS384" => JwtAlgorithm::Hs384,
    "HS512" => JwtAlgorithm::Hs512,
);

words!(OnBadToken, "\"refuse\", \"pass\" or \"pass_missing\"", ON_BAD_TOKEN:
    "refuse" => OnBadToken::Refuse,
    "pass" => OnBadToken::Pass,
    "pass_missing" => OnBadToken::PassMissing,
);

impl Form for TokenFrom {
    const WHAT: &'static str = "a table with `header`, `cookie` or `query`";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, &["header", "cookie", "query"])?;
        let mut places = Vec::new();
        places.extend(table.optional("header", reader).map(Self::Header));
        places.extend(table.optional("cookie", reader).map(Self::Cookie));
        places.extend(table.optional("query", reader).map(Self::Query));
        match places.pop() {
            Some(place) if places.is_empty() => Some(place),
            _ => reader.refuse(
                item.span,
                "a token stands in one place",
                "say one of `header`, `cookie` and `query`; a list of such tables names several",
            ),
        }
    }

    fn write(&self) -> Out {
        match self {
            TokenFrom::Header(name) => Out::one("header", name.write()),
            TokenFrom::Cookie(name) => Out::one("cookie", name.write()),
            TokenFrom::Query(name) => Out::one("query", name.write()),
        }
    }
}

/// What a claim must say.
struct Said(ClaimForm, Vec<String>);

impl Form for Said {
    const WHAT: &'static str = "a text, a list of texts, or a table with `list` or `words`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            return Some(Self(ClaimForm::Text, Vec::read(item, reader)?));
        }
        let table = reader.keyed(item, Self::WHAT, &["list", "words"])?;
        match (table.entry("list"), table.entry("words")) {
            (Some(_), None) => Some(Self(ClaimForm::List, table.required("list", reader)?)),
            (None, Some(_)) => Some(Self(ClaimForm::Words, table.required("words", reader)?)),
            _ => reader.refuse(item.span, "a claim is a list or words", "say one of them"),
        }
    }

    fn write(&self) -> Out {
        match self.0 {
            ClaimForm::Text => several(&self.1),
            ClaimForm::List => Out::one("list", several(&self.1)),
            ClaimForm::Words => Out::one("words", several(&self.1)),
        }
    }
}

/// A list; one text without brackets.
fn several(texts: &[String]) -> Out {
    match texts {
        [one] => one.write(),
        all => Out::List(all.iter().map(Form::write).collect()),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn read_keys(item: &Item, table: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<KeySource> {
    let (keys, secret) = (table.entry("keys"), table.entry("secret"));
    let fetched = ["ca", "refresh"]
        .into_iter()
        .find_map(|key| table.entry(key));
    let source = match (keys, secret) {
        (Some(_), None) => {
            let keys: String = table.required("keys", reader)?;
            match is_url(&keys) {
                true => {
                    return Some(KeySource::Url(KeyUrl {
                        url: keys,
                        ca: match table.entry("ca") {
                            Some(_) => Some(table.required("ca", reader)?),
                            None => None,
                        },
                        refresh: given(table, "refresh", REFRESH, reader)?,
                    }));
                }
                false => KeySource::File(keys),
            }
        }
        (None, Some(_)) => KeySource::Secret(table.required("secret", reader)?),
        (None, None) => {
            let missing = Diagnostic::error(Code::Missing, item.span, "`keys` is missing");
            reader.push(missing.help("say a URL or a file as `keys`, or a file as `secret`"));
            return None;
        }
        (Some(_), Some(secret)) => {
            let both = Diagnostic::error(
                Code::Conflict,
                secret.key_span,
                "there are `keys` and a `secret`",
            );
            reader.push(both.help(
                "tokens are signed with one or the other: two rules may each accept one of them",
            ));
            return None;
        }
    };
    if let Some(entry) = fetched {
        let message = format!("`{}` is for keys that are fetched", entry.key);
        let idle = Diagnostic::error(Code::Conflict, entry.key_span, message);
        reader.push(idle.help("give `keys` as `https://…`, or leave it away"));
        return None;
    }
    Some(source)
}

impl Form for Jwt {
    const WHAT: &'static str = "a URL or a file of keys, or a table with `keys`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Text { text, .. } = &item.content {
            return Some(Self::new(match is_url(text) {
                true => KeySource::Url(KeyUrl {
                    url: text.clone(),
                    ca: None,
                    refresh: REFRESH,
                }),
                false => KeySource::File(text.clone()),
            }));
        }
        let keys = KEYS.get(..OWN).unwrap_or_default();
        let table = reader.keyed(item, Self::WHAT, keys)?;
        let usual = Self::new(read_keys(item, &table, reader)?);
        let claims = table.entry("claims");
        let claims = claims.map(|entry| pairs::read::<Said>(&entry.item, reader));
        let headers = table.entry("set_headers");
        let headers = headers.map(|entry| pairs::read::<String>(&entry.item, reader));
        let claim =
            |(name, Said(form, values)): (portway_model::span::Spanned<String>, Said)| Claim {
                name: name.value,
                form,
                values,
            };
        Some(Self {
            token: given(&table, "token", usual.token, reader)?,
            algorithms: given(&table, "algorithms", usual.algorithms, reader)?,
            issuers: given(&table, "issuer", Vec::new(), reader)?,
            audiences: given(&table, "audience", Vec::new(), reader)?,
            leeway: given(&table, "leeway", usual.leeway, reader)?,
            require: given(&table, "require", usual.require, reader)?,
            claims: claims.unwrap_or_default().into_iter().map(claim).collect(),
            headers: headers
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name.value, value))
                .collect(),
            realm: match table.entry("realm") {
                Some(_) => Some(table.required("realm", reader)?),
                None => None,
            },
            on_failure: given(&table, "on_failure", usual.on_failure, reader)?,
            keys: usual.keys,
        })
    }

    fn write(&self) -> Out {
        let usual = Self::new(self.keys.clone());
        let mut out = match &self.keys {
            KeySource::File(file) => vec![("keys".to_owned(), file.write())],
            KeySource::Secret(file) => vec![("secret".to_owned(), file.write())],
            KeySource::Url(url) => {
                let mut out = vec![("keys".to_owned(), url.url.write())];
                out.extend(url.ca.iter().map(|ca| ("ca".to_owned(), ca.write())));
                let refresh = (url.refresh != REFRESH).then(|| url.refresh.write());
                out.extend(refresh.map(|it| ("refresh".to_owned(), it)));
                out
            }
        };
        let mut put = |key: &str, said: bool, value: &dyn Fn() -> Out| {
            if said {
                out.push((key.to_owned(), value()));
            }
        };
        put("token", self.token != usual.token, &|| self.token.write());
        put("algorithms", self.algorithms != usual.algorithms, &|| {
            self.algorithms.write()
        });
        put("issuer", !self.issuers.is_empty(), &|| {
            several(&self.issuers)
        });
        put("audience", !self.audiences.is_empty(), &|| {
            several(&self.audiences)
        });
        put("leeway", self.leeway != usual.leeway, &|| {
            Duration::write(&self.leeway)
        });
        put("require", self.require != usual.require, &|| {
            self.require.write()
        });
        put("claims", !self.claims.is_empty(), &|| {
            let said = |it: &Claim| (it.name.clone(), Said(it.form, it.values.clone()).write());
            pairs::write(self.claims.iter().map(said).collect())
        });
        put("set_headers", !self.headers.is_empty(), &|| {
            let said = |(name, claim): &(String, String)| (name.clone(), claim.write());
            pairs::write(self.headers.iter().map(said).collect())
        });
        if let Some(realm) = &self.realm {
            put("realm", true, &|| realm.write());
        }
        put("on_failure", self.on_failure != usual.on_failure, &|| {
            self.on_failure.write()
        });
        match out.as_slice() {
            [(key, Out::Text(keys))] if key == "keys" => Out::Text(keys.clone()),
            _ => Out::Table(out),
        }
    }
}
