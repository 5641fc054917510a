//! the one list of events, metrics and access-log formats.
