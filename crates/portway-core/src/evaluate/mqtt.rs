//! The first packets of MQTT: CONNECT of the client and CONNACK of the server, versions 3.1, 3.1.1 and 5.0.
//!
//! Strict as HAProxy is: each property at most once, within its range. Numbers that are not there are 0, texts absent.

use super::sought::Sought;
use portway_model::expression::{MqttField, MqttPart};
use std::borrow::Cow;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const VERSION_5: u8 = 5;
/// Names of the protocol, today and in version 3.1.
const NAMES: [&[u8]; 2] = [b"MQTT", b"MQIsdp"];
/// Bytes of a variable byte integer at most (MQTT 5.0, section 1.5.5).
const LENGTH_BYTES: usize = 4;

const RESERVED: u8 = 0x01;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

const USER_PROPERTY: u8 = 38;
const AUTHENTICATION_METHOD: u8 = 21;
const AUTHENTICATION_DATA: u8 = 22;

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One byte, 0 or 1.
    Bit,
    Two,
    /// As `Two`, not 0.
    TwoAbove0,
    Four,
    FourAbove0,
    Text,
    /// As `Text`, not empty.
    SomeText,
}

type Known = &'static [(u8, Kind)];

/// Properties of CONNECT (MQTT 5.0, section 3.1.2.11), of a will (3.1.3.2) and of CONNACK (3.2.2.3).
const OF_CONNECT: Known = &[
    (17, Kind::Four),
    (AUTHENTICATION_METHOD, Kind::Text),
    (AUTHENTICATION_DATA, Kind::Text),
    (23, Kind::Bit),
    (25, Kind::Bit),
    (33, Kind::TwoAbove0),
    (34, Kind::Two),
    (39, Kind::FourAbove0),
];
const OF_WILL: Known = &[
    (1, Kind::Bit),
    (2, Kind::Four),
    (3, Kind::Text),
    (8, Kind::Text),
    (9, Kind::Text),
    (24, Kind::Four),
];
const OF_CONNACK: Known = &[
    (17, Kind::Four),
    (18, Kind::SomeText),
    (19, Kind::Two),
    (AUTHENTICATION_METHOD, Kind::Text),
    (AUTHENTICATION_DATA, Kind::Text),
    (26, Kind::Text),
    (28, Kind::Text),
    (31, Kind::Text),
    (33, Kind::TwoAbove0),
    (34, Kind::Two),
    (36, Kind::Bit),
    (37, Kind::Bit),
    (39, Kind::FourAbove0),
    (40, Kind::Bit),
    (41, Kind::Bit),
    (42, Kind::Bit),
];

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Packet<'b> {
    answer: bool,
    protocol_name: &'b [u8],
    version: u8,
    flags: u8,
    keep_alive: u16,
    reason: u8,
    client: &'b [u8],
    will_topic: &'b [u8],
    will_payload: &'b [u8],
    username: &'b [u8],
    password: &'b [u8],
    properties: Vec<(u8, &'b [u8])>,
}

/// The packet that the bytes begin with.
pub(super) fn packet(bytes: &[u8]) -> Sought<Packet<'_>> {
    let mut reader = Reader(bytes);
    let Some(kind) = reader.byte().filter(|_| bytes.len() > 1) else {
        return Sought::Unfinished;
    };
    if !matches!(kind, CONNECT | CONNACK) {
        return Sought::Missing;
    }
    let length = match reader.length() {
        Some(length) => length,
        None if reader.0.is_empty() && bytes.len() <= LENGTH_BYTES => return Sought::Unfinished,
        None => return Sought::Missing,
    };
    let Some(inside) = reader.take(length) else {
        return Sought::Unfinished;
    };
    let read = match kind {
        CONNECT => connect(Reader(inside)),
        _ => connack(Reader(inside)),
    };
    read.map_or(Sought::Missing, Sought::Found)
}

/// A field of the packet that the bytes begin with.
pub(super) fn field(bytes: &[u8], field: MqttField) -> Sought<Cow<'_, [u8]>> {
    match packet(bytes) {
        Sought::Found(packet) => packet.field(field).map_or(Sought::Missing, Sought::Found),
        Sought::Missing => Sought::Missing,
        Sought::Unfinished => Sought::Unfinished,
    }
}

fn connect(mut reader: Reader<'_>) -> Option<Packet<'_>> {
    let mut packet = Packet {
        protocol_name: reader.text()?,
        version: reader.byte()?,
        flags: reader.byte()?,
        keep_alive: u16::from_be_bytes(reader.array()?),
        ..Packet::default()
    };
    let will = packet.flags & (WILL | WILL_QOS | WILL_RETAIN);
    if !NAMES
        .iter()
        .any(|name| packet.protocol_name.eq_ignore_ascii_case(name))
        || !matches!(packet.version, 3..=VERSION_5)
        || packet.flags & RESERVED != 0
        || will == WILL_QOS
    {
        return None;
    }
    let is_5 = packet.version == VERSION_5;
    if is_5 {
        reader.properties(OF_CONNECT, &mut packet.properties)?;
    }
    if packet.text(AUTHENTICATION_DATA).is_some() && packet.text(AUTHENTICATION_METHOD).is_none() {
        return None;
    }
    packet.client = reader.text()?;
    if packet.flags & WILL != 0 {
        if is_5 {
            reader.properties(OF_WILL, &mut packet.properties)?;
        }
        packet.will_topic = reader.text()?;
        packet.will_payload = reader.text()?;
    }
    if packet.flags & USERNAME != 0 {
        packet.username = reader.text()?;
    }
    if packet.flags & PASSWORD != 0 {
        packet.password = reader.text()?;
    }
    reader.0.is_empty().then_some(packet)
}

fn connack(mut reader: Reader<'_>) -> Option<Packet<'_>> {
    let mut packet = Packet {
        answer: true,
        version: if reader.0.len() > 2 { VERSION_5 } else { 4 },
        flags: reader.byte()?,
        reason: reader.byte()?,
        ..Packet::default()
    };
    if packet.version == VERSION_5 {
        reader.properties(OF_CONNACK, &mut packet.properties)?;
    }
    (packet.flags & !1 == 0 && reader.0.is_empty()).then_some(packet)
}

impl<'b> Packet<'b> {
    fn field(&self, field: MqttField) -> Option<Cow<'b, [u8]>> {
        if field.answer != self.answer {
            return None;
        }
        let number = |number: u32| Some(number.to_string().into_bytes().into());
        let text = |text: &'b [u8]| Some(text.into()).filter(|_| !text.is_empty());
        let asked = |number| (!self.answer).then_some(number);
        match field.part {
            MqttPart::Flags => number(self.flags.into()),
            MqttPart::ProtocolVersion => number(self.version.into()),
            MqttPart::ReasonCode if self.answer => number(self.reason.into()),
            MqttPart::ReasonCode => None,
            MqttPart::KeepAlive => number(asked(self.keep_alive)?.into()),
            MqttPart::ProtocolName => text(self.protocol_name),
            MqttPart::ClientIdentifier => text(self.client),
            MqttPart::WillTopic => text(self.will_topic),
            MqttPart::WillPayload => text(self.will_payload),
            MqttPart::Username => text(self.username),
            MqttPart::Password => text(self.password),
            MqttPart::Property(id) => self.property(id),
        }
    }

    fn property(&self, id: u8) -> Option<Cow<'b, [u8]>> {
        let of = |known: Known| known.iter().find(|(number, _)| *number == id);
        let will = (self.flags & WILL != 0).then_some(OF_WILL);
        let (_, kind) = match self.answer {
            true => of(OF_CONNACK),
            false => of(OF_CONNECT).or_else(|| of(will?)),
        }
        .filter(|_| self.version == VERSION_5)?;
        let found = self.properties.iter().find(|(number, _)| *number == id);
        let bytes = found.map(|(_, bytes)| *bytes);
        if matches!(kind, Kind::Text | Kind::SomeText) {
            return bytes.filter(|bytes| !bytes.is_empty()).map(Cow::from);
        }
        Some(
            big_endian(bytes.unwrap_or_default())
                .to_string()
                .into_bytes()
                .into(),
        )
    }

    /// A property that is a text and not empty.
    fn text(&self, id: u8) -> Option<&'b [u8]> {
        let mut all = self.properties.iter();
        let (_, bytes) = all.find(|(number, bytes)| *number == id && !bytes.is_empty())?;
        Some(bytes)
    }
}

/// Bytes that are read from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A variable byte integer: seven bits a byte, the lowest first.
    fn length(&mut self) -> Option<usize> {
        let mut length = 0_usize;
        for place in 0..LENGTH_BYTES {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    /// Bytes with their number before them.
    fn text(&mut self) -> Option<&'b [u8]> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(length.into())
    }

    fn properties(&mut self, known: Known, found: &mut Vec<(u8, &'b [u8])>) -> Option<()> {
        let length = self.length()?;
        let mut inside = Reader(self.take(length)?);
        let before = found.len();
        while let Some(id) = inside.byte() {
            if id == USER_PROPERTY {
                inside.text()?;
                inside.text()?;
                continue;
            }
            let (_, kind) = known.iter().find(|(number, _)| *number == id)?;
            let value = match kind {
                Kind::Bit => inside.take(1)?,
                Kind::Two | Kind::TwoAbove0 => inside.take(2)?,
                Kind::Four | Kind::FourAbove0 => inside.take(4)?,
                Kind::Text | Kind::SomeText => inside.text()?,
            };
            let fits = match kind {
                Kind::Bit => big_endian(value) <= 1,
                Kind::TwoAbove0 | Kind::FourAbove0 => big_endian(value) > 0,
                Kind::SomeText => !value.is_empty(),
                Kind::Two | Kind::Four | Kind::Text => true,
            };
            // Each at most once, so there are never many.
            let mut earlier = found.iter().skip(before);
            if !fits || earlier.any(|(number, _)| *number == id) {
                return None;
            }
            found.push((id, value));
        }
        Some(())
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONNECT of version 5 with a session expiry of 10 s, a will with a content type, user and password.
    const CONNECT_5: &str = "103a 0004 4d515454 05 c6 003c 05 11 0000000a 0006 636c69656e74 05 03 0002 6162 \
        0005 746f706963 0004 676f6e65 0005 616c696365 0006 736563726574";
    /// CONNECT of version 3.1.1.
    const CONNECT_4: &str = "1012 0004 4d515454 04 02 000a 0006 636c69656e74";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        let pairs = digits.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn field_of(hex: &str, answer: bool, part: MqttPart) -> Option<String> {
        let bytes = bytes(hex);
        let found = field(&bytes, MqttField { answer, part }).found();
        found.map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn fields() {
        let check = |hex: &str, part, expected: Option<&str>| {
            let answer = hex.starts_with('2');
            assert_eq!(
                field_of(hex, answer, part).as_deref(),
                expected,
                "{hex} {part:?}"
            );
        };
        check(CONNECT_5, MqttPart::ProtocolName, Some("MQTT"));
        check(CONNECT_5, MqttPart::ProtocolVersion, Some("5"));
        check(CONNECT_5, MqttPart::Flags, Some("198"));
        check(CONNECT_5, MqttPart::KeepAlive, Some("60"));
        check(CONNECT_5, MqttPart::ClientIdentifier, Some("client"));
        check(CONNECT_5, MqttPart::WillTopic, Some("topic"));
        check(CONNECT_5, MqttPart::WillPayload, Some("gone"));
        check(CONNECT_5, MqttPart::Username, Some("alice"));
        check(CONNECT_5, MqttPart::Password, Some("secret"));
        check(CONNECT_5, MqttPart::Property(17), Some("10"));
        check(CONNECT_5, MqttPart::Property(3), Some("ab"));
        check(CONNECT_5, MqttPart::Property(33), Some("0"));
        check(CONNECT_5, MqttPart::Property(8), None);
        check(CONNECT_5, MqttPart::ReasonCode, None);
        check(CONNECT_4, MqttPart::ClientIdentifier, Some("client"));
        check(CONNECT_4, MqttPart::Username, None);
        check(CONNECT_4, MqttPart::Property(17), None);
        check("2002 01 05", MqttPart::ReasonCode, Some("5"));
        check("2002 01 05", MqttPart::ProtocolVersion, Some("4"));
        check("2006 00 00 03 13 0014", MqttPart::Property(19), Some("20"));
        assert_eq!(field_of(CONNECT_4, true, MqttPart::Flags), None);
    }

    #[test]
    fn whole_unfinished_and_wrong() {
        for good in [CONNECT_4, CONNECT_5, "2002 0000", "2003 0000 00"] {
            let good = bytes(good);
            assert_eq!(packet(&good).known(), Some(true), "{good:02x?}");
            for length in 0..good.len() {
                assert_eq!(
                    packet(good.get(..length).unwrap()).known(),
                    None,
                    "{length}"
                );
            }
        }
        let wrong = [
            "474554202f20",
            "1012 0004 4d515458 04 02 000a 0006 636c69656e74",
            "1012 0004 4d515454 02 02 000a 0006 636c69656e74",
            "1012 0004 4d515454 04 03 000a 0006 636c69656e74",
            "1012 0004 4d515454 04 1a 000a 0006 636c69656e74",
            "1013 0004 4d515454 04 02 000a 0006 636c69656e74 00",
            "1012 0004 4d515454 04 82 000a 0006 636c69656e74",
            "2002 0200",
            "2009 0000 06 13 0014 13 0014",
            "2005 0000 02 24 02",
            "10ffffffffff",
        ];
        for wrong in wrong {
            assert_eq!(packet(&bytes(wrong)).known(), Some(false), "{wrong}");
        }
    }
}
