//! the typed meaning of a configuration: draft, compile, snapshot, diagnostics.
