//! The ClientHello reader: no panic, and what a beginning says for sure the whole says too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::client_hello::{MAX_HELLO, look};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = look(bytes);
    let part = look(&bytes[..usize::from(cut).min(bytes.len())]);
    if part.is_settled() {
        assert_eq!(part, whole);
    }
    if let Some(hello) = whole.hello() {
        let name = hello.server_name.as_ref().map_or(0, Vec::len);
        assert!(name <= MAX_HELLO && hello.extensions.len() <= MAX_HELLO / 4);
    }
});
