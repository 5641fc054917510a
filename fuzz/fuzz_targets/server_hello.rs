//! The ServerHello reader: no panic, and what a beginning says for sure the whole says too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::server_hello::look;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = look(bytes);
    let part = look(&bytes[..usize::from(cut).min(bytes.len())]);
    if part.is_settled() {
        assert_eq!(part, whole);
    }
    let id = whole.session_id();
    assert!(id.is_none_or(|id| (1..=32).contains(&id.len())));
    assert!(id.is_none() || whole.handshake_type() == Some(2));
});
