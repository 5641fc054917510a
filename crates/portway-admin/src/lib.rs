//! shows and changes things over HTTP.
