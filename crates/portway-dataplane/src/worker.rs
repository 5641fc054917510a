//! Workers: one thread, one single-threaded runtime, its own sockets and pools.
