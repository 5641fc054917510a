//! `digest_auth`: who may pass by Digest authorization.

use super::form::{Form, Out, Reader};
use super::pairs;
use crate::tree::Item;
use portway_model::digest_auth::{DigestAuth, DigestUser, Ha1};

/// The keys of the table.
pub(super) const KEYS: [&str; 3] = ["realm", "users", "user_header"];

impl Form for DigestAuth {
    const WHAT: &'static str = "a table with `realm` and `users`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let realm = table.required("realm", reader);
        let users = match table.entry("users") {
            Some(entry) => pairs::read::<Ha1>(&entry.item, reader),
            None => {
                let help = "write `users = { NAME = \"HA1\" }`";
                return reader.refuse(item.span, "`users` is missing", help);
            }
        };
        let users = users.into_iter().map(|(name, ha1)| DigestUser {
            name: name.value,
            ha1,
        });
        Some(Self {
            users: users.collect(),
            user_header: table.optional("user_header", reader),
            realm: realm?,
        })
    }

    fn write(&self) -> Out {
        let users = self.users.iter();
        let users = users.map(|user| (user.name.clone(), user.ha1.write()));
        let mut out = vec![
            ("realm".to_owned(), self.realm.write()),
            ("users".to_owned(), pairs::write(users.collect())),
        ];
        if let Some(header) = &self.user_header {
            out.push(("user_header".to_owned(), header.write()));
        }
        Out::Table(out)
    }
}

impl Form for Ha1 {
    const WHAT: &'static str = "the MD5 of `name:realm:password` in hexadecimal";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        let ha1 = Ha1::new(text);
        if ha1.is_none() {
            let help = "`htdigest -c FILE REALM NAME` makes it: 32 hexadecimal digits behind the last colon";
            return reader.refuse(item.span, "this is no HA1 of a user", help);
        }
        ha1
    }

    fn write(&self) -> Out {
        Out::text(self.as_str())
    }
}
