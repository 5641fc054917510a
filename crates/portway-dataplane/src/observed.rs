//! What is seen of a target while it serves, where its health depends on that: errors in a row are told.

use portway_model::check::ObservedLayer;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use tokio::sync::Notify;

/// What was seen of a target while it served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was connected to.
    Connected,
    /// It was not.
    NotConnected,
    /// A response with this status.
    Status(u16),
    /// What is no response.
    BadResponse,
    /// No response in time.
    ResponseTimeout,
    /// It closed before its response was there.
    Closed,
}

impl Seen {
    const ERRORS: [(Seen, &'static str); 5] = [
        (Seen::NotConnected, "L4 unsuccessful connection"),
        (Seen::Status(500), "Wrong http response"),
        (Seen::BadResponse, "Invalid http response (headers)"),
        (Seen::ResponseTimeout, "Read timeout (http)"),
        (Seen::Closed, "Close from server (http)"),
    ];

    /// Good or bad; `None`: it says nothing at this layer.
    fn is_good(self, layer: ObservedLayer) -> Option<bool> {
        match (self, layer) {
            (Seen::NotConnected, _) => Some(false),
            (Seen::Connected, ObservedLayer::Connection) => Some(true),
            (Seen::Status(status), ObservedLayer::Response) => {
                Some(status < 500 || matches!(status, 501 | 505))
            }
            (Seen::Connected, ObservedLayer::Response) => None,
            (_, ObservedLayer::Connection) => None,
            (Seen::BadResponse | Seen::ResponseTimeout | Seen::Closed, _) => Some(false),
        }
    }

    /// Its place in [`Self::ERRORS`].
    fn index(self) -> u8 {
        match self {
            Seen::Connected | Seen::NotConnected => 0,
            Seen::Status(_) => 1,
            Seen::BadResponse => 2,
            Seen::ResponseTimeout => 3,
            Seen::Closed => 4,
        }
    }
}

const LAYERS: [ObservedLayer; 2] = [ObservedLayer::Connection, ObservedLayer::Response];

/// Beside a place in [`LAYERS`]: passive health counts.
pub(crate) const COUNTED: u8 = 0x80;
/// Beside it: times to answer are kept.
pub(crate) const TIMED: u8 = 0x40;
const OTHERS: u8 = COUNTED | TIMED;

/// Errors in a row of what a target serves.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Places in [`LAYERS`], from 1 on, with [`COUNTED`] and [`TIMED`]; 0: nobody listens.
    layer: AtomicU8,
    limit: AtomicU32,
    errors: AtomicU32,
    /// The last error: a place in [`Seen::ERRORS`].
    last: AtomicU8,
    /// Rung when there are as many as the limit.
    bell: Notify,
}

impl Observed {
    /// From now on `limit` errors in a row of this layer are told; nothing is without one.
    pub(crate) fn look_at(&self, what: Option<(ObservedLayer, u32)>) {
        let (layer, limit) = what.unzip();
        let place = LAYERS.iter().zip(1..).find(|(it, _)| Some(**it) == layer);
        self.limit.store(limit.unwrap_or(0), Ordering::Relaxed);
        let place: u8 = place.map_or(0, |(_, place)| place);
        let next = |before: u8| Some(before & OTHERS | place);
        let order = Ordering::Relaxed;
        let before = self.layer.fetch_update(order, order, next);
        if before.is_ok_and(|before| before & !OTHERS != place) {
            self.forgive();
        }
    }

    /// One of [`COUNTED`] and [`TIMED`] listens from now on, or not any more.
    pub(crate) fn tell(&self, who: u8, wanted: bool) {
        match wanted {
            true => self.layer.fetch_or(who, Ordering::Relaxed),
            false => self.layer.fetch_and(!who, Ordering::Relaxed),
        };
    }

    /// Takes note; which of [`COUNTED`] and [`TIMED`] listen too.
    #[inline]
    pub(crate) fn saw(&self, seen: Seen) -> u8 {
        match self.layer.load(Ordering::Relaxed) {
            0 => 0,
            layer => {
                self.heed(usize::from(layer & !OTHERS), seen);
                layer & OTHERS
            }
        }
    }

    fn heed(&self, layer: usize, seen: Seen) {
        let Some(layer) = layer.checked_sub(1).and_then(|it| LAYERS.get(it)) else {
            return;
        };
        match seen.is_good(*layer) {
            None => {}
            Some(true) => self.errors.store(0, Ordering::Relaxed),
            Some(false) => {
                let errors = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
                self.last.store(seen.index(), Ordering::Relaxed);
                if errors >= self.limit.load(Ordering::Relaxed) {
                    self.errors.store(0, Ordering::Relaxed);
                    self.bell.notify_one();
                }
            }
        }
    }

    /// Waits until there were errors in a row; what is said of the last one.
    pub(crate) async fn alarmed(&self) -> &'static str {
        self.bell.notified().await;
        let last = usize::from(self.last.load(Ordering::Relaxed));
        Seen::ERRORS.get(last).map_or("", |(_, words)| words)
    }

    /// Counts errors from 0 again.
    pub(crate) fn forgive(&self) {
        self.errors.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_judge_apart() {
        let layer = ObservedLayer::Connection;
        assert_eq!(Seen::Status(500).is_good(layer), None);
        assert_eq!(Seen::Connected.is_good(layer), Some(true));
        assert_eq!(Seen::NotConnected.is_good(layer), Some(false));
    }
}
