//! moves bytes.
