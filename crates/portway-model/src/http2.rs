//! HTTP/2 towards clients.

use crate::defaults::http2 as defaults;
use crate::span::Spanned;

/// Whether a client may begin with HTTP/2 where nothing was agreed on (RFC 9113 section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PriorKnowledge {
    /// It is answered with 505.
    #[default]
    Refused,
    /// It may; another one speaks HTTP/1.1.
    Optional,
    /// Every client does.
    Required,
}

/// How HTTP/2 is spoken with the clients of a listener, and what one connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Whether clients may begin with it.
    pub prior_knowledge: PriorKnowledge,
    /// Streams that are open at the same time.
    pub max_streams: u32,
    /// Bytes that may come of a stream before they are asked for.
    pub initial_window: u32,
    /// What that grows to where its bytes are used as they come.
    pub max_window: u32,
    /// Bytes that may be on the way on all streams together.
    pub connection_window: u32,
    /// Streams a second that a client ends before they are answered, in the long run.
    pub max_reset_rate: u32,
    /// Frames a second that do nothing, in the long run.
    pub max_idle_frame_rate: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            prior_knowledge: PriorKnowledge::Refused,
            max_streams: defaults::STREAMS,
            initial_window: defaults::INITIAL_WINDOW,
            max_window: defaults::MAX_WINDOW,
            connection_window: defaults::CONNECTION_WINDOW,
            max_reset_rate: defaults::RESET_RATE,
            max_idle_frame_rate: defaults::IDLE_FRAME_RATE,
        }
    }
}

/// See [`Http2`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Http2Draft {
    /// Whether clients may begin with it; refused by default.
    pub prior_knowledge: Option<Spanned<PriorKnowledge>>,
    /// Streams at the same time.
    pub max_streams: Option<Spanned<u32>>,
    /// Window of a stream.
    pub initial_window: Option<Spanned<u32>>,
    /// What that grows to; never less than it begins with.
    pub max_window: Option<Spanned<u32>>,
    /// Window of a connection.
    pub connection_window: Option<Spanned<u32>>,
    /// Streams a second that are ended early.
    pub max_reset_rate: Option<Spanned<u32>>,
    /// Frames a second that do nothing.
    pub max_idle_frame_rate: Option<Spanned<u32>>,
}

impl From<Http2> for Http2Draft {
    fn from(it: Http2) -> Self {
        let normal = Http2::default();
        let unless = |value: u32, usual: u32| (value != usual).then(|| Spanned::bare(value));
        let refused = it.prior_knowledge == PriorKnowledge::Refused;
        Self {
            prior_knowledge: (!refused).then(|| Spanned::bare(it.prior_knowledge)),
            max_streams: unless(it.max_streams, normal.max_streams),
            initial_window: unless(it.initial_window, normal.initial_window),
            max_window: unless(it.max_window, normal.max_window.max(it.initial_window)),
            connection_window: unless(it.connection_window, normal.connection_window),
            max_reset_rate: unless(it.max_reset_rate, normal.max_reset_rate),
            max_idle_frame_rate: unless(it.max_idle_frame_rate, normal.max_idle_frame_rate),
        }
    }
}
