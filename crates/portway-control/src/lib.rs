//! decides the next snapshot and installs it.
