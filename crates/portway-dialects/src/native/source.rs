//! `source` of a target: where connections to it come from.

use super::form::{Form, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::settings::{Borrowed, PortRange, SourceAddress};

/// The keys of a table under `source`.
pub(crate) const SOURCE_KEYS: &[&str] = &["address", "port", "interface", "borrowed"];
/// The keys of a table under `borrowed` in it.
pub(crate) const BORROWED_KEYS: &[&str] = &["header", "occurrence", "address", "port"];
/// The words in the place of either.
pub(crate) const BORROWED_WORDS: &[&str] = &["client", "client_with_port"];

impl Form for SourceAddress {
    const WHAT: &'static str = "an address, \"client\", \"client_with_port\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Table(_) = item.content {
            let table = reader.keyed(item, Self::WHAT, SOURCE_KEYS)?;
            return Some(Self {
                address: table.optional("address", reader),
                ports: table.optional("port", reader),
                interface: table.optional("interface", reader),
                borrowed: table.optional("borrowed", reader),
            });
        }
        if let Some(borrowed) = of_client(reader.text(item, Self::WHAT)?.text) {
            return Some(Self {
                borrowed: Some(borrowed),
                ..Self::default()
            });
        }
        let address = Form::read(item, reader)?;
        Some(Self {
            address: Some(address),
            ..Self::default()
        })
    }

    fn write(&self) -> Out {
        let Self {
            address,
            ports,
            interface,
            borrowed,
        } = self;
        match (address, ports, interface, borrowed) {
            (Some(address), None, None, None) => return address.write(),
            (None, None, None, Some(borrowed @ Borrowed::Client { .. })) => {
                return borrowed.write();
            }
            _ => {}
        }
        let said = [
            ("address", address.as_ref().map(Form::write)),
            ("port", ports.as_ref().map(Form::write)),
            ("interface", interface.as_ref().map(Form::write)),
            ("borrowed", borrowed.as_ref().map(Form::write)),
        ];
        table(said)
    }
}

impl Form for PortRange {
    const WHAT: &'static str = "a port or a range such as \"40000-40999\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Integer(_) = item.content {
            let port = u16::read(item, reader)?;
            let only = PortRange::new(port, port);
            if only.is_none() {
                return reader.refuse(item.span, "port 0 is none", "leave it away");
            }
            return only;
        }
        let text = reader.text(item, Self::WHAT)?.text;
        let ports = text.split_once('-').and_then(|(first, last)| {
            PortRange::new(first.trim().parse().ok()?, last.trim().parse().ok()?)
        });
        if ports.is_none() {
            let message = format!("`{text}` is not a range of ports");
            let help = "write for example 40000 or \"40000-40999\"";
            return reader.refuse(item.span, message, help);
        }
        ports
    }

    fn write(&self) -> Out {
        match (self.first(), self.last()) {
            (first, last) if first == last => first.write(),
            (first, last) => Out::text(format!("{first}-{last}")),
        }
    }
}

impl Form for Borrowed {
    const WHAT: &'static str =
        "\"client\", \"client_with_port\", or a table with `header` or `address`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            let text = reader.text(item, Self::WHAT)?.text;
            let borrowed = of_client(text);
            if borrowed.is_none() {
                let known = BORROWED_WORDS.iter().copied();
                reader.push(crate::unknown_word(
                    item.span,
                    "value of `borrowed`",
                    text,
                    known,
                ));
            }
            return borrowed;
        }
        let table = reader.keyed(item, Self::WHAT, BORROWED_KEYS)?;
        if table.entry("header").is_some() {
            return Some(Self::Header {
                name: table.required("header", reader)?,
                occurrence: table.optional("occurrence", reader).unwrap_or(LAST),
            });
        }
        Some(Self::Address {
            ip: table.required("address", reader)?,
            port: table.optional("port", reader),
        })
    }

    fn write(&self) -> Out {
        match self {
            Self::Client { port: false } => Out::text("client"),
            Self::Client { port: true } => Out::text("client_with_port"),
            Self::Header { name, occurrence } => table([
                ("header", Some(name.write())),
                (
                    "occurrence",
                    (*occurrence != LAST).then(|| occurrence.write()),
                ),
            ]),
            Self::Address { ip, port } => table([
                ("address", Some(ip.write())),
                ("port", port.as_ref().map(Form::write)),
            ]),
        }
    }
}

/// Which occurrence of a header counts where nothing is said: the one that the nearest proxy wrote.
const LAST: i16 = -1;

fn of_client(text: &str) -> Option<Borrowed> {
    match text {
        "client" => Some(Borrowed::Client { port: false }),
        "client_with_port" => Some(Borrowed::Client { port: true }),
        _ => None,
    }
}

/// A table of what is said.
fn table<const N: usize>(said: [(&str, Option<Out>); N]) -> Out {
    let said = said.into_iter();
    Out::Table(
        said.filter_map(|(key, out)| Some((key.to_owned(), out?)))
            .collect(),
    )
}
