//! Steps on values: what a [`Transform`] does to what stands before it.

use crate::expression::Variable;
use crate::jwt::JwtAlgorithm;
use crate::stage::Stage;
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A step on a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform<S: Stage> {
    /// Number: of a text the whole number at its start, 0 where none is there; of a boolean 1 or 0; of an IPv4
    /// address its 32 bits.
    Number,
    /// The text of a number, a boolean or an address; of bytes those up to the first NUL.
    Text,
    /// The bytes of a number, eight of them, or of an address, four or sixteen; the highest first.
    Binary,
    /// Boolean: false for 0 and what is no number.
    Truth,
    /// Boolean: true for 0 and what is no number.
    Not,
    /// Boolean: the number is even.
    Even,
    /// Boolean: the number is odd.
    Odd,
    /// Number: the opposite.
    Negate,
    /// Number: every bit turned round.
    Complement,
    /// ASCII lower case.
    Lower,
    /// ASCII upper case.
    Upper,
    /// Without white space at both ends.
    Trim,
    /// Without any of these characters at its start.
    TrimStart(String),
    /// Without any of these characters at its end.
    TrimEnd(String),
    /// Up to the first carriage return or line feed.
    FirstLine,
    /// The host of a Host header's value, in lower case.
    HostName,
    /// Number: the port of a Host header's value, 0 where there is none.
    HostPort,
    /// Replaces what a regular expression finds; `with` may say `$1`.
    Replace {
        /// What is searched.
        pattern: S::Pattern,
        /// What comes in its place.
        with: String,
        /// Every match, not the first alone.
        all: bool,
    },
    /// The n-th field between delimiters, 1-based; negative counts from the end. Empty fields count.
    Field {
        /// 1-based, or from the end.
        index: i32,
        /// Any of these characters.
        delimiters: String,
        /// So many fields with what is between them; 0: all that follow.
        count: u32,
    },
    /// As `Field`; empty ones do not count.
    Word {
        /// 1-based, or from the end.
        index: i32,
        /// Any of these characters.
        delimiters: String,
        /// So many fields with what is between them; 0: all that follow.
        count: u32,
    },
    /// Looks the value up in a map; absent, or `default`, where it is not there.
    Map {
        /// The map.
        map: S::Map,
        /// When there is no entry.
        default: Option<String>,
    },
    /// As `Map`, with a map of regular expressions: what it holds may say `\1` for a group of the expression.
    MapGroups {
        /// The map.
        map: S::Map,
        /// When there is no entry.
        default: Option<String>,
    },
    /// Boolean: the address is one of this machine's.
    IsLocal,
    /// Number: the targets that may take traffic of the group of this name; absent where there is none.
    HealthyTargets,
    /// This text where the value is absent.
    Default(String),
    /// This text where the value is absent or empty.
    Otherwise(String),
    /// The first text where the value is a number other than 0 or true, else the second.
    Choose(String, String),
    /// With more text after it.
    Append(Append),
    /// With a separator and more text after it, where neither is empty.
    Join(Append),
    /// Base64 of it.
    Base64,
    /// What this Base64 stands for.
    Base64Decode,
    /// Base64 of it, with the alphabet for URLs and without padding (RFC 4648 section 5).
    Base64Url,
    /// Hex of it.
    Hex,
    /// Number: what this hex stands for, 0 up to 64 bits; absent where it is none.
    HexNumber,
    /// What this percent-encoded text stands for.
    UrlDecode,
    /// As `UrlDecode`, and a plus is a blank, as in forms.
    FormDecode,
    /// Percent-encoded, all but letters, digits and `-._~`.
    UrlEncode,
    /// Escaped to stand within the quotes of a JSON text.
    JsonEscape(JsonCharset),
    /// Number: bytes.
    Length,
    /// Number: calculated with another one. It stops at the ends of its range.
    Calculate(Operation, Operand),
    /// Number: 0 where it equals the variable's text, below 0 where it comes before it, else above; absent where
    /// the variable is.
    Compare(Variable),
    /// Boolean: it equals the variable's text, in a time that does not show where they differ.
    SameSecret(Variable),
    /// Sets a variable to it where all of these hold, and is absent where not. Nothing happens where it is absent.
    SetVariable {
        /// Which.
        variable: Variable,
        /// When.
        when: Vec<SetWhen>,
    },
    /// Unsets a variable; absent where it was not set.
    UnsetVariable(Variable),
    /// An address without the bits that a mask has not.
    Mask {
        /// The mask for IPv4.
        v4: Ipv4Addr,
        /// The mask for IPv6; `None`: an IPv6 address is absent then.
        v6: Option<Ipv6Addr>,
    },
    /// Numbers of so many bytes each, the highest first, and what stands between them.
    Chunks(Chunks),
    /// The member of a JSON text at this path (`$.a.b`).
    Json(String),
    /// The member of a JWT's header at this path.
    JwtHeader(String),
    /// The member of a JWT's payload at this path.
    JwtPayload(String),
    /// Number: whether a JWT was signed with a key.
    JwtVerify(Box<JwtVerify>),
    /// Number: a hash that is no secret.
    Hash(Hashing),
    /// A digest, its bytes.
    Digest(DigestKind),
    /// A keyed digest (RFC 2104), its bytes.
    Hmac {
        /// The digest.
        digest: DigestKind,
        /// The key.
        key: Secret,
    },
    /// Of seconds since 1970: a date in UTC, or in local time.
    Date {
        /// As strftime(3) has it.
        format: String,
        /// Seconds added.
        offset: i64,
        /// In this machine's time zone.
        local: bool,
    },
    /// Of a time since 1970: the date of a header (RFC 9110 section 5.6.7).
    HttpDate {
        /// So much is added, in the same unit.
        offset: i64,
        /// In which unit the time is; smaller ones than the second are shown as a fraction.
        unit: TimeUnit,
    },
    /// Of an Accept-Language header: which of these the client likes best (RFC 9110 section 12.5.4).
    Language(Vec<String>),
    /// Of a list with commas, such as X-Forwarded-For: the last entry that is no address in these networks. Empty entries
    /// do not count; absent where there is none.
    LastOutside(Vec<IpNet>),
    /// SHA-256 of it in hex.
    Sha256,
    /// Between double quotes; only these where the value is absent.
    Quoted,
    /// With a backslash before each of `"`, `\` and `]` (RFC 5424 section 6.3.3).
    Backslashed,
    /// A number in upper-case hexadecimal digits, at least four; an address as the digits of its bytes.
    Hexadecimal,
    /// Boolean: the bytes begin with a whole message of the FIX protocol; absent where more bytes may make one of them.
    FixMessage,
    /// The value of this tag of a FIX message.
    FixTag(u32),
    /// Boolean: the bytes are a whole CONNECT or CONNACK packet of MQTT 3.1, 3.1.1 or 5; absent where more bytes may make
    /// one of them.
    MqttPacket,
    /// A field of such a packet.
    Mqtt(MqttField),
    /// The value of the cookie of the Remote Desktop Protocol with this name, of any where there is none.
    RdpCookie(Option<String>),
    /// Number: who waits for room at the target `GROUP/NAME`; absent where there is none.
    TargetQueue,
    /// Bytes from `offset`.
    Bytes {
        /// First byte.
        offset: u32,
        /// Bytes; `None`: the rest.
        length: Option<u32>,
    },
}

impl<S: Stage> Transform<S> {
    /// The address that a text holds, all of its bits.
    pub const ADDRESS: Self = Transform::Mask {
        v4: Ipv4Addr::BROADCAST,
        v6: Some(Ipv6Addr::from_bits(u128::MAX)),
    };
}

/// A field of an MQTT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MqttField {
    /// Of the server's answer (CONNACK), not of the client's first packet (CONNECT).
    pub answer: bool,
    /// Which.
    pub part: MqttPart,
}

/// What of an MQTT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MqttPart {
    /// The flags of CONNECT or CONNACK.
    Flags,
    /// The protocol's name.
    ProtocolName,
    /// 3, 4 or 5; of a CONNACK 4 or 5.
    ProtocolVersion,
    /// The client's identifier.
    ClientIdentifier,
    /// The topic of the will.
    WillTopic,
    /// The message of the will.
    WillPayload,
    /// The user's name.
    Username,
    /// The password.
    Password,
    /// Seconds of silence at most.
    KeepAlive,
    /// Why a connection was refused; 0: it was not.
    ReasonCode,
    /// The property of this number (MQTT 5.0, section 2.2.2.2).
    Property(u8),
}

/// Bytes as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// How each number is written.
    pub form: ChunkForm,
    /// What stands between them.
    pub between: String,
    /// Bytes of each, at least 1; of decimal numbers at most 8.
    pub size: u32,
    /// A last one with fewer bytes is left out.
    pub whole: bool,
}

/// How a number of some bytes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkForm {
    /// Decimal digits.
    Decimal,
    /// Two upper-case hexadecimal digits a byte.
    Hex,
}

/// Units of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

/// A key or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// This Base64.
    Base64(String),
    /// The Base64 that a variable holds.
    Variable(Variable),
}

/// How a signature is held against a key. The number is 1 where it is right, 0 where it is not, and below 0 where that cannot
/// be said: -1 for an unknown algorithm, -3 for what is no token, -5 for an unknown key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtVerify {
    /// `RS256` and the like, or `none`, which demands that there is no signature. What the token says of it does not count.
    pub algorithm: Given,
    /// A secret that both sides have, where the algorithm has one; else the path of a file with a public key.
    pub key: Given,
}

impl JwtVerify {
    /// The file that the key stands in, where it does. Where the algorithm is only known later, what looks like a path is one: it
    /// is no secret then, whatever algorithm a token asks for.
    pub fn key_file(&self) -> Option<&str> {
        let Given::Text(key) = &self.key else {
            return None;
        };
        let is_file = match &self.algorithm {
            Given::Text(algorithm) => {
                JwtAlgorithm::named(algorithm.as_bytes()).is_some_and(|it| !it.is_shared())
            }
            Given::Variable(_) => {
                let ends = [".pem", ".crt", ".cer", ".pub", ".key"];
                key.starts_with(['/', '.']) || ends.iter().any(|end| key.ends_with(end))
            }
        };
        is_file.then_some(key)
    }
}

/// A text, or a variable that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// This.
    Text(String),
    /// What it holds; the result is absent where the variable is.
    Variable(Variable),
}

/// How two numbers make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient, towards zero; the largest number where the divisor is 0.
    Divide,
    /// Remainder; 0 where the divisor is 0.
    Modulo,
    /// Bits that both have.
    And,
    /// Bits that one has.
    Or,
    /// Bits that one of them alone has.
    Xor,
}

/// The second number of a calculation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// This.
    Number(i64),
    /// That of a variable; the result is absent where the variable is.
    Variable(Variable),
}

/// Text that is put after a value: a text, a variable where it is there, another text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Directly after the value, or between.
    pub before: String,
    /// Then this variable.
    pub variable: Option<Variable>,
    /// Then this.
    pub after: String,
}

/// When a step sets a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetWhen {
    /// It is set already.
    Set,
    /// It is not set yet.
    NotSet,
    /// The new value is an empty text.
    Empty,
    /// The new value is no empty text.
    NotEmpty,
    /// The old value is greater than the new one, where both are numbers.
    Greater,
    /// The old value is less than the new one, where both are numbers.
    Less,
}

/// How bytes are read that become JSON, and what happens to those that are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JsonCharset {
    /// Each byte is a character.
    Bytes,
    /// UTF-8; absent where it is not.
    Utf8,
    /// UTF-8; what is not is left out.
    Utf8Lossy,
}

/// A hash that is no secret, and how it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hashing {
    /// The function.
    pub function: HashKind,
    /// For the functions of 32 bits but xxh32: 1 spreads the result over all bits. For the others: the seed.
    pub seed: u64,
}

/// Hash functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// CRC-32 of Ethernet.
    Crc32,
    /// CRC-32C of RFC 4960.
    Crc32c,
    /// Bernstein's, 32 bits.
    Djb2,
    /// That of the sdbm library, 32 bits.
    Sdbm,
    /// HAProxy's own of 32 bits.
    Wt6,
    /// xxHash of 32 bits.
    Xxh32,
    /// xxHash of 64 bits.
    Xxh64,
    /// XXH3 of 64 bits.
    Xxh3,
}

/// Digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestKind {
    /// MD5: not against forgery.
    Md5,
    /// SHA-1: not against forgery.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}
