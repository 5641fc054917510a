//! Sets of keys: no panic, no more keys than stand there, and none that a token without a signature fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_control::key_sets::jwks::read;
use portway_core::jwt::Token;
use portway_dataplane::keys::{Keys, MAX_KEYS};
use portway_model::jwt::JwtAlgorithm;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let keys = match read(bytes) {
        Ok(keys) => keys,
        Err(why) => return assert!(!why.is_empty()),
    };
    let set: Value = serde_json::from_slice(bytes).unwrap();
    let there = set["keys"].as_array().map_or(0, Vec::len);
    assert!((1..=there).contains(&keys.len()));
    let keys = Keys::new(keys);
    assert!(keys.count() <= MAX_KEYS);
    for text in ["e30.e30.", "e30.e30.AAEC"] {
        let token = Token::parse(text.as_bytes()).unwrap();
        for algorithm in JwtAlgorithm::ALL {
            assert!(keys.verify(&token, algorithm).is_err());
        }
    }
});
