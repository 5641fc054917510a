//! What agents of targets say: no panic, the same whatever comes behind the line, and one line to report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::agent::AgentAnswer;

fuzz_target!(|bytes: &[u8]| {
    let Some(answer) = AgentAnswer::read(bytes) else {
        assert!(!bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
        return;
    };
    let more = [bytes, b"down maint\n"].concat();
    assert_eq!(AgentAnswer::read(&more).as_ref(), Some(&answer));
    assert!(answer.weight.is_none_or(|it| it.contains('%')));
    for warning in [None, Some("no")] {
        let report = answer.report(warning);
        assert!(!report.contains(['\r', '\n']), "{report:?}");
    }
});
