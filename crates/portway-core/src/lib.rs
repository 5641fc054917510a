//! decisions that are functions of their arguments.
