//! Compression of responses on their way to the client: which, in which coding, and the encoders.
//!
//! A body is compressed as it comes. Whenever the target has nothing more for now, what it sent leaves whole: events that
//! a server sends one by one are not held back.

use crate::buffer::Buffers;
use crate::exchange::Exchange;
use crate::memory::{Held, Level};
use portway_core::coding;
use portway_core::evaluate::Facts;
use portway_core::http1::{Known, Method, ResponseBody, ResponseFraming, Version};
use portway_model::compression::{Compression, CompressionRules, ContentCoding};
use portway_telemetry::metrics::{Compressed, GroupMetrics, ListenerMetrics};
use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

/// The effort of gzip: most of what can be gained, for half of the time that its usual effort takes.
const GZIP_LEVEL: u32 = 4;
/// The effort of brotli: as much as gzip takes.
const BROTLI_QUALITY: u32 = 4;
/// Brotli looks back 2 to this power bytes: 256 KiB, which bounds its memory to about twice that.
const BROTLI_WINDOW: u32 = 18;
/// Bytes that brotli's writer holds before it compresses.
const BROTLI_BUFFER: usize = 4096;
/// The effort of zstd, its usual one.
const ZSTD_LEVEL: i32 = 3;
/// Zstd looks back 2 to this power bytes: 256 KiB, which bounds its memory to about four times that.
const ZSTD_WINDOW: u32 = 18;

/// Gives a body a content coding. What it makes lies in its writer until it is taken.
#[derive(Debug)]
pub(crate) struct Encoder {
    writer: Writer,
    counted: Counted,
    /// Its window, and what it has made.
    _memory: Held,
}

impl Encoder {
    fn new(coding: ContentCoding, counted: Counted, buffers: &Rc<Buffers>) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::new(coding)?,
            counted,
            _memory: Held::new(buffers, weight(coding)),
        })
    }

    /// Takes more of the body.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let is_identity = matches!(self.writer, Writer::Identity(_));
        self.counted.add(|it| match is_identity {
            true => it.bypassed.add(data.len() as u64),
            false => it.bytes_in.add(data.len() as u64),
        });
        self.writer.write(data)
    }

    /// Makes everything that was written readable for the client.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.counted.add(|it| it.responses.add(1));
        self.writer.finish()
    }

    /// Bytes that were made and are not taken.
    pub(crate) fn here(&mut self) -> usize {
        self.writer.made().len()
    }

    /// Hands over what was made.
    pub(crate) fn take(&mut self, into: impl FnOnce(&[u8])) {
        let made = self.writer.made();
        into(made);
        let bytes = made.len() as u64;
        made.clear();
        if !matches!(self.writer, Writer::Identity(_)) {
            self.counted.add(|it| it.bytes_out.add(bytes));
        }
    }
}

/// Where it is counted what becomes of a response.
#[derive(Debug)]
struct Counted {
    listener: Arc<ListenerMetrics>,
    group: Option<Arc<GroupMetrics>>,
}

impl Counted {
    fn of(x: &Exchange<'_>) -> Self {
        let connection = x.connection;
        let listener = connection.shard().listener(connection.listener.index());
        let group = x.attempt.group.map(|id| connection.of_group(id));
        Self {
            listener: Arc::clone(listener),
            group: group.cloned(),
        }
    }

    fn add(&self, count: impl Fn(&Compressed)) {
        count(&self.listener.compressed);
        if let Some(group) = &self.group {
            count(&group.compressed);
        }
    }
}

/// Bytes that an encoder takes as a rule.
fn weight(coding: ContentCoding) -> usize {
    let kib = match coding {
        ContentCoding::Identity => 16,
        ContentCoding::Gzip | ContentCoding::Deflate | ContentCoding::RawDeflate => 320,
        ContentCoding::Brotli => 2 << (BROTLI_WINDOW - 10),
        ContentCoding::Zstd => 4 << (ZSTD_WINDOW - 10),
    };
    kib * 1024
}

enum Writer {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// `None` once it has ended.
    Brotli(Option<Box<brotli::CompressorWriter<Vec<u8>>>>, Vec<u8>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    RawDeflate(flate2::write::DeflateEncoder<Vec<u8>>),
    Identity(Vec<u8>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Writer::Gzip(_) => "gzip",
            Writer::Brotli(..) => "br",
            Writer::Zstd(_) => "zstd",
            Writer::Deflate(_) => "deflate",
            Writer::RawDeflate(_) => "raw-deflate",
            Writer::Identity(_) => "identity",
        })
    }
}

impl Writer {
    fn new(coding: ContentCoding) -> io::Result<Self> {
        let level = flate2::Compression::new(GZIP_LEVEL);
        Ok(match coding {
            ContentCoding::Gzip => Writer::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            ContentCoding::Deflate => {
                Writer::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level))
            }
            ContentCoding::RawDeflate => {
                Writer::RawDeflate(flate2::write::DeflateEncoder::new(Vec::new(), level))
            }
            ContentCoding::Identity => Writer::Identity(Vec::new()),
            ContentCoding::Brotli => {
                let writer = brotli::CompressorWriter::new(
                    Vec::new(),
                    BROTLI_BUFFER,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW,
                );
                Writer::Brotli(Some(Box::new(writer)), Vec::new())
            }
            ContentCoding::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                writer.window_log(ZSTD_WINDOW)?;
                Writer::Zstd(writer)
            }
        })
    }

    /// Takes more of the body.
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Writer::Gzip(writer) => writer.write_all(data),
            Writer::Brotli(Some(writer), _) => writer.write_all(data),
            Writer::Brotli(None, _) => Ok(()),
            Writer::Zstd(writer) => writer.write_all(data),
            Writer::Deflate(writer) => writer.write_all(data),
            Writer::RawDeflate(writer) => writer.write_all(data),
            Writer::Identity(writer) => writer.write_all(data),
        }
    }

    /// Makes everything that was written readable for the client.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::Gzip(writer) => writer.flush(),
            Writer::Brotli(Some(writer), _) => writer.flush(),
            Writer::Brotli(None, _) => Ok(()),
            Writer::Zstd(writer) => writer.flush(),
            Writer::Deflate(writer) => writer.flush(),
            Writer::RawDeflate(writer) => writer.flush(),
            Writer::Identity(_) => Ok(()),
        }
    }

    /// Ends the body.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Writer::Gzip(writer) => writer.try_finish(),
            Writer::Brotli(writer, rest) => {
                if let Some(writer) = writer.take() {
                    *rest = writer.into_inner();
                }
                Ok(())
            }
            Writer::Zstd(writer) => writer.do_finish(),
            Writer::Deflate(writer) => writer.try_finish(),
            Writer::RawDeflate(writer) => writer.try_finish(),
            Writer::Identity(_) => Ok(()),
        }
    }

    /// What was made since it was last asked for.
    fn made(&mut self) -> &mut Vec<u8> {
        match self {
            Writer::Gzip(writer) => writer.get_mut(),
            Writer::Brotli(Some(writer), _) => writer.get_mut(),
            Writer::Brotli(None, rest) => rest,
            Writer::Zstd(writer) => writer.get_mut(),
            Writer::Deflate(writer) => writer.get_mut(),
            Writer::RawDeflate(writer) => writer.get_mut(),
            Writer::Identity(made) => made,
        }
    }
}

/// What a rule says of compression, after what was said before.
pub(crate) fn apply(x: &mut Exchange<'_>, compression: &Arc<Compression>) {
    let compression = match x.scratch.compression.take() {
        Some(before) if compression.rules == CompressionRules::Haproxy => {
            Arc::new(compression.after(&before))
        }
        _ => Arc::clone(compression),
    };
    x.scratch.compression = Some(compression);
}

/// By HAProxy's rules the coding is chosen as the request leaves, from what rules made of it; the target need not know.
pub(crate) fn choose(x: &mut Exchange<'_>) {
    let Some(compression) = x.scratch.compression.as_ref() else {
        return;
    };
    if compression.rules != CompressionRules::Haproxy || x.scratch.coding.is_some() {
        return;
    }
    let mut untrusted = false;
    x.header("user-agent", &mut |value| {
        untrusted = coding::is_old_mozilla(value);
        ControlFlow::Break(())
    });
    if untrusted {
        return;
    }
    let mut accepted = Vec::new();
    x.header("accept-encoding", &mut |value| {
        accepted.push(value.to_vec());
        ControlFlow::Continue(())
    });
    let chosen = coding::choose_as_haproxy(&accepted, &compression.codings);
    let hidden = compression.offload && chosen.is_some_and(|it| it != ContentCoding::Identity);
    x.scratch.coding = chosen;
    if hidden {
        x.scratch.request_edits.remove(b"Accept-Encoding");
    }
}

/// The encoder for the target's response, whose fields are changed to fit. What the client is told of codings depends on
/// its request, which caches on the way must know: so says Vary, also where this client takes none.
pub(crate) fn encoder(x: &mut Exchange<'_>, framing: &mut ResponseFraming) -> Option<Box<Encoder>> {
    let compression = Arc::clone(x.scratch.compression.as_ref()?);
    let worker = Rc::clone(&x.connection.worker);
    let coding = match compression.rules {
        CompressionRules::Haproxy => {
            let coding = x.scratch.coding?;
            if !is_meant_by_haproxy(x, &compression, framing.body) {
                return None;
            }
            vary(x);
            coding
        }
        CompressionRules::Usual => {
            if !is_meant(x, &compression, framing.body) {
                return None;
            }
            if !lists(x, "vary", |it| {
                it == b"*" || it.eq_ignore_ascii_case(b"accept-encoding")
            }) {
                vary(x);
            }
            coding_for(x, &compression)?
        }
    };
    // An encoder takes as much as ten exchanges: without it more of them have room.
    if worker.process().memory_level() > Level::Free {
        return None;
    }
    let encoder = Encoder::new(coding, Counted::of(x), &worker.buffers).ok()?;
    if coding != ContentCoding::Identity {
        fields_of(x, coding);
    }
    weaken_tag(x);
    framing.drop = framing.drop.with(Known::ContentLength);
    framing.body = ResponseBody::Chunked;
    Some(Box::new(encoder))
}

fn vary(x: &mut Exchange<'_>) {
    let edits = &mut x.scratch.response_edits;
    edits.add(b"Vary", |value| value.extend_from_slice(b"Accept-Encoding"));
}

/// Says the coding, and takes away what holds of the bytes before it (RFC 9530 §2 and §3, RFC 3230 §4.3.2).
fn fields_of(x: &mut Exchange<'_>, coding: ContentCoding) {
    let edits = &mut x.scratch.response_edits;
    for name in [
        b"Content-Encoding".as_slice(),
        b"Accept-Ranges",
        b"Content-Digest",
        b"Repr-Digest",
        b"Digest",
        b"Content-MD5",
    ] {
        edits.remove(name);
    }
    edits.add(b"Content-Encoding", |value| {
        value.extend_from_slice(coding.name().as_bytes());
    });
}

/// The bytes are not those that a strong tag names (RFC 9110 §8.8.3).
fn weaken_tag(x: &mut Exchange<'_>) {
    let tag = first(x, "etag");
    let edits = &mut x.scratch.response_edits;
    if let Some(tag) = tag.filter(|tag| !tag.starts_with(b"W/")) {
        edits.remove(b"ETag");
        edits.add(b"ETag", |value| {
            value.extend_from_slice(b"W/");
            value.extend_from_slice(&tag);
        });
    }
}

/// True where HAProxy compresses the response for clients that take it.
fn is_meant_by_haproxy(x: &Exchange<'_>, compression: &Compression, body: ResponseBody) -> bool {
    let here = match body {
        ResponseBody::None | ResponseBody::UntilClose => false,
        ResponseBody::Length(length) => length > 0,
        ResponseBody::Chunked => true,
    };
    let newest = x.is_http11() && x.scratch.response.version() == Version::Http11;
    let plain_method = !matches!(x.request().method(), Method::Head | Method::Connect);
    if !here || !newest || !plain_method || !matches!(x.response_status, Some(200..=203)) {
        return false;
    }
    let fixed = |it: &[u8]| it.eq_ignore_ascii_case(b"no-transform");
    if first(x, "content-encoding").is_some() || lists(x, "cache-control", fixed) {
        return false;
    }
    let mut tags = 0;
    let mut malformed = false;
    x.response_header("etag", &mut |value| {
        tags += 1;
        malformed |= !coding::is_entity_tag(value);
        ControlFlow::Continue(())
    });
    if tags > 1 || malformed {
        return false;
    }
    let types = &compression.types;
    match first(x, "content-type") {
        None => types.is_empty(),
        Some(media) => {
            let several = media.get(..9);
            !several.is_some_and(|it| it.eq_ignore_ascii_case(b"multipart"))
                && (types.is_empty() || coding::begins_with_one_of(&media, types))
        }
    }
}

/// True where the response is one that is compressed for clients that take it.
fn is_meant(x: &Exchange<'_>, compression: &Compression, body: ResponseBody) -> bool {
    let long_enough = match body {
        ResponseBody::None => false,
        ResponseBody::Length(length) => length > 0 && length >= compression.min_bytes,
        ResponseBody::Chunked | ResponseBody::UntilClose => true,
    };
    let whole = !matches!(x.response_status, None | Some(100..=199 | 204 | 206 | 304));
    let plain_method = !matches!(x.request().method(), Method::Head | Method::Connect);
    if !long_enough || !whole || !plain_method {
        return false;
    }
    let encoded = lists(x, "content-encoding", |it| {
        !it.eq_ignore_ascii_case(b"identity")
    });
    let fixed = lists(x, "cache-control", |it| {
        it.eq_ignore_ascii_case(b"no-transform")
    });
    if encoded || fixed || first(x, "content-range").is_some() {
        return false;
    }
    let media = first(x, "content-type").unwrap_or_default();
    // Its messages say themselves whether they are compressed.
    let grpc = media
        .get(..16)
        .is_some_and(|it| it.eq_ignore_ascii_case(b"application/grpc"));
    !grpc
        && (compression.types.is_empty() || coding::is_one_of(&media, &compression.types))
        && !coding::is_one_of(&media, &compression.except)
}

fn coding_for(x: &Exchange<'_>, compression: &Compression) -> Option<ContentCoding> {
    let mut accepted = x
        .request()
        .fields()
        .values_named(b"accept-encoding", x.arena())
        .peekable();
    match accepted.peek() {
        None => compression.default,
        Some(_) => coding::choose(accepted, &compression.codings),
    }
}

/// The first value of a field of the response, as rules left it.
fn first(x: &Exchange<'_>, name: &str) -> Option<Vec<u8>> {
    let mut found = None;
    x.response_header(name, &mut |value| {
        found = Some(value.to_vec());
        ControlFlow::Break(())
    });
    found
}

/// True where some element of the lists in a field fits.
fn lists(x: &Exchange<'_>, name: &str, fits: impl Fn(&[u8]) -> bool) -> bool {
    let mut found = false;
    x.response_header(name, &mut |value| {
        let mut elements = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        found |= elements.any(|it| !it.is_empty() && fits(it));
        ControlFlow::Continue(())
    });
    found
}
