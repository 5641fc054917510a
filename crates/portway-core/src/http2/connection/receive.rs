//! What each kind of frame does.

use super::{
    Block, Broken, Connection, ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH, EXPANDED, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, Reached, Role, Sink, Stream,
    Unfinished, calm,
};
use crate::http2::frame::{
    self, ACK, END_HEADERS, END_STREAM, ErrorCode, FrameHead, Kind, MAX_WINDOW, PRIORITY,
    without_padding,
};

/// The largest payload that a peer may say it takes (RFC 9113 section 6.5.2).
const MAX_PAYLOAD: u32 = (1 << 24) - 1;

impl Connection {
    pub(super) fn frame(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        if self.unfinished.is_some() && head.kind != Kind::Continuation {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let of_connection = matches!(head.kind, Kind::Settings | Kind::Ping | Kind::GoAway);
        let of_either = matches!(head.kind, Kind::WindowUpdate | Kind::Unknown);
        if !of_either && of_connection != (head.stream == 0) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        match head.kind {
            Kind::Data => self.data(head, payload, sink),
            Kind::Headers => self.headers(head, payload, sink),
            Kind::Continuation => self.continuation(head, payload, sink),
            Kind::Priority => self.priority(head, payload, sink),
            Kind::RstStream => self.rst_stream(head, payload, sink),
            Kind::Settings => self.settings(head, payload, sink),
            Kind::Ping => self.ping(head, payload),
            Kind::GoAway => self.go_away(payload, sink),
            Kind::WindowUpdate => self.window_update(head, payload, sink),
            // We have said that we want none, and clients have none to make.
            Kind::PushPromise => Err(ErrorCode::PROTOCOL_ERROR.into()),
            Kind::Unknown => self.idle_frame(),
        }
    }

    fn data(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        if self.is_idle(head.stream) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let bytes = without_padding(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        self.count_received(payload.len())?;
        let end = head.has(END_STREAM);
        if bytes.is_empty() && !end {
            self.idle_frame()?;
        }
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            return self.on_closed(head.stream);
        };
        if !stream.remote_open || !stream.has_head {
            let code = match stream.remote_open {
                true => ErrorCode::PROTOCOL_ERROR,
                false => ErrorCode::STREAM_CLOSED,
            };
            return self.fail(head.stream, code, sink);
        }
        stream.receive_window -= payload.len() as i64;
        if stream.receive_window < 0 {
            return self.fail(head.stream, ErrorCode::FLOW_CONTROL_ERROR, sink);
        }
        stream.remote_open = !end;
        self.used(head.stream, payload.len() - bytes.len());
        match sink.data(head.stream, bytes, end) {
            Ok(()) => self.forget_if_over(head.stream),
            Err(code) => return self.fail(head.stream, code, sink),
        }
        Ok(())
    }

    /// So many bytes of DATA came. They are given back at once: what a stream may hold is bounded by its own window.
    fn count_received(&mut self, bytes: usize) -> Result<(), Broken> {
        self.receive_window -= bytes as i64;
        if self.receive_window < 0 {
            return Err(ErrorCode::FLOW_CONTROL_ERROR.into());
        }
        self.used += bytes as u32;
        if self.used >= self.limits.connection_window / 2 {
            frame::write_window_update(0, self.used, &mut self.out);
            self.receive_window += i64::from(self.used);
            self.used = 0;
        }
        Ok(())
    }

    /// Something has come on a stream that is over.
    fn on_closed(&mut self, stream: u32) -> Result<(), Broken> {
        // What was on its way when we ended it is nobody's fault.
        if self.ended.contains(&stream) || self.closing.is_some_and(|last| stream > last) {
            return Ok(());
        }
        self.idle_frame()?;
        frame::write_reset(stream, ErrorCode::STREAM_CLOSED, &mut self.out);
        Ok(())
    }

    fn headers(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        if head.stream.is_multiple_of(2) || (self.role == Role::Client && self.is_idle(head.stream))
        {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let mut block = without_padding(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        let mut depends = None;
        if head.has(PRIORITY) {
            depends = frame::number(block).map(|it| it & 0x7FFF_FFFF);
            block = block.get(5..).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        }
        if depends == Some(head.stream) {
            // The block is not read: what follows could not be read either.
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let end = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.block(head.stream, end, block, sink);
        }
        self.unfinished = Some(Unfinished {
            stream: head.stream,
            end,
            bytes: block.to_vec(),
            continuations: 0,
        });
        Ok(())
    }

    fn continuation(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let Some(mut unfinished) = self.unfinished.take().filter(|it| it.stream == head.stream)
        else {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        };
        unfinished.continuations += 1;
        if unfinished.continuations > self.limits.continuations {
            return Err(calm(Reached::Continuations));
        }
        if unfinished.bytes.len() + payload.len() > self.limits.block_bytes {
            return Err(calm(Reached::BlockBytes));
        }
        unfinished.bytes.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.block(head.stream, unfinished.end, &unfinished.bytes, sink);
        }
        self.unfinished = Some(unfinished);
        Ok(())
    }

    /// A whole block of fields. It is read whatever becomes of it: later ones build on it.
    fn block(
        &mut self,
        stream: u32,
        end: bool,
        block: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let most = self.limits.block_bytes.saturating_mul(EXPANDED);
        self.decoder
            .decode(block, most, |name, value| sink.field(name, value))?;
        let what = match self.streams.get(&stream) {
            Some(known) if known.has_head => Block::Trailers,
            Some(_) => Block::Head,
            None if self.role == Role::Server && stream > self.last => {
                return self.begin(stream, end, sink);
            }
            None => {
                sink.forget();
                let is_known =
                    self.ended.contains(&stream) || self.closing.is_some_and(|last| stream > last);
                return match is_known {
                    true => Ok(()),
                    false => Err(ErrorCode::STREAM_CLOSED.into()),
                };
            }
        };
        let Some(known) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        let fault = match what {
            _ if !known.remote_open => Some(ErrorCode::STREAM_CLOSED),
            // A block behind the head that does not end the stream: trailers always do.
            Block::Trailers if !end => Some(ErrorCode::PROTOCOL_ERROR),
            _ => None,
        };
        if let Some(code) = fault {
            sink.forget();
            return self.fail(stream, code, sink);
        }
        known.remote_open = !end;
        self.give_block(stream, what, end, sink)
    }

    /// A client begins a stream.
    fn begin(&mut self, stream: u32, end: bool, sink: &mut impl Sink) -> Result<(), Broken> {
        self.last = stream;
        if self.closing.is_some_and(|last| stream > last) {
            sink.forget();
            return Ok(());
        }
        if self.streams.len() >= self.limits.streams as usize {
            sink.forget();
            sink.refused(Reached::Streams);
            self.end(stream, ErrorCode::REFUSED_STREAM);
            // Who asks for more than it was told again and again is ended by this.
            return match self.resets.take(self.now) {
                true => Ok(()),
                false => Err(calm(Reached::Streams)),
            };
        }
        let begun = Stream {
            remote_open: !end,
            has_head: true,
            ..self.new_stream()
        };
        self.streams.insert(stream, begun);
        self.give_block(stream, Block::Head, end, sink)
    }

    fn give_block(
        &mut self,
        stream: u32,
        what: Block,
        end: bool,
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        match sink.block(stream, what, end) {
            // No message ends with an interim head.
            Ok(true) if end => self.fail(stream, ErrorCode::PROTOCOL_ERROR, sink),
            Ok(is_interim) => {
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.has_head = !is_interim;
                }
                self.forget_if_over(stream);
                Ok(())
            }
            Err(code) => self.fail(stream, code, sink),
        }
    }

    /// What came on a stream ends it. That counts as if the peer had ended it: it could have us begin and end as much.
    fn fail(&mut self, stream: u32, code: ErrorCode, sink: &mut impl Sink) -> Result<(), Broken> {
        self.end(stream, code);
        sink.reset(stream, code, false);
        self.count_reset()
    }

    fn count_reset(&mut self) -> Result<(), Broken> {
        match self.role == Role::Client || self.resets.take(self.now) {
            true => Ok(()),
            false => Err(calm(Reached::Resets)),
        }
    }

    fn priority(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        self.idle_frame()?;
        let depends = frame::number(payload).map(|it| it & 0x7FFF_FFFF);
        let code = match (payload.len(), depends) {
            (5, Some(on)) if on != head.stream => return Ok(()),
            (5, _) => ErrorCode::PROTOCOL_ERROR,
            _ => ErrorCode::FRAME_SIZE_ERROR,
        };
        match self.is_idle(head.stream) {
            // There is nothing that could be reset (section 5.1).
            true => Err(code.into()),
            false => self.fail(head.stream, code, sink),
        }
    }

    fn rst_stream(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let code = match (payload.len(), frame::number(payload)) {
            (4, Some(code)) => ErrorCode(code),
            _ => return Err(ErrorCode::FRAME_SIZE_ERROR.into()),
        };
        if self.is_idle(head.stream) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        if !self.forget(head.stream) {
            return self.idle_frame();
        }
        sink.reset(head.stream, code, true);
        self.count_reset()
    }

    fn settings(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let ack = head.has(ACK);
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() || (ack && !settings.is_empty()) {
            return Err(ErrorCode::FRAME_SIZE_ERROR.into());
        }
        if ack {
            return self.idle_frame();
        }
        if std::mem::replace(&mut self.has_settings, true) {
            self.idle_frame()?;
        }
        for [name @ .., a, b, c, d] in settings {
            self.setting(
                u16::from_be_bytes(*name),
                u32::from_be_bytes([*a, *b, *c, *d]),
            )?;
        }
        frame::write_settings_ack(&mut self.out);
        sink.opened(0);
        Ok(())
    }

    fn setting(&mut self, name: u16, value: u32) -> Result<(), Broken> {
        match name {
            ENABLE_PUSH if value > u32::from(self.role == Role::Server) => {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            MAX_CONCURRENT_STREAMS => self.remote.streams = value,
            INITIAL_WINDOW_SIZE => {
                let window = i64::from(value);
                if window > MAX_WINDOW {
                    return Err(ErrorCode::FLOW_CONTROL_ERROR.into());
                }
                let change = window - self.remote.window;
                self.remote.window = window;
                for stream in self.streams.values_mut() {
                    stream.send_window += change;
                    if stream.send_window > MAX_WINDOW {
                        return Err(ErrorCode::FLOW_CONTROL_ERROR.into());
                    }
                }
            }
            MAX_FRAME_SIZE => {
                let least = frame::PAYLOAD_BYTES as u32;
                if !(least..=MAX_PAYLOAD).contains(&value) {
                    return Err(ErrorCode::PROTOCOL_ERROR.into());
                }
                self.remote.payload = value as usize;
            }
            MAX_HEADER_LIST_SIZE => self.remote.fields = value,
            ENABLE_CONNECT_PROTOCOL => {
                // It may not be taken back (RFC 8441 section 3).
                if value > 1 || (value == 0 && self.remote.connect_protocol) {
                    return Err(ErrorCode::PROTOCOL_ERROR.into());
                }
                self.remote.connect_protocol = value == 1;
            }
            // HEADER_TABLE_SIZE: our blocks use no table, whatever size it may have. What is not known does not count
            // (section 6.5.2).
            _ => {}
        }
        Ok(())
    }

    fn ping(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), Broken> {
        let Ok(bytes) = <[u8; 8]>::try_from(payload) else {
            return Err(ErrorCode::FRAME_SIZE_ERROR.into());
        };
        self.idle_frame()?;
        if !head.has(ACK) {
            frame::write_ping(bytes, true, &mut self.out);
        }
        Ok(())
    }

    fn window_update(
        &mut self,
        head: &FrameHead,
        payload: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let more = match (payload.len(), frame::number(payload)) {
            (4, Some(more)) => i64::from(more & 0x7FFF_FFFF),
            _ => return Err(ErrorCode::FRAME_SIZE_ERROR.into()),
        };
        let code = match more {
            0 => ErrorCode::PROTOCOL_ERROR,
            _ => ErrorCode::FLOW_CONTROL_ERROR,
        };
        if head.stream == 0 {
            self.send_window += more;
            if more == 0 || self.send_window > MAX_WINDOW {
                return Err(code.into());
            }
            sink.opened(0);
            return Ok(());
        }
        if self.is_idle(head.stream) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            // For what was sent before it ended: it comes behind every body.
            return Ok(());
        };
        stream.send_window += more;
        if more == 0 || stream.send_window > MAX_WINDOW {
            return self.fail(head.stream, code, sink);
        }
        sink.opened(head.stream);
        Ok(())
    }

    fn go_away(&mut self, payload: &[u8], sink: &mut impl Sink) -> Result<(), Broken> {
        let (Some(last), Some(code)) = (
            frame::number(payload),
            payload.get(4..).and_then(frame::number),
        ) else {
            return Err(ErrorCode::FRAME_SIZE_ERROR.into());
        };
        self.idle_frame()?;
        sink.going_away(last & 0x7FFF_FFFF, ErrorCode(code));
        Ok(())
    }
}
