//! text to draft with spans, and back.
