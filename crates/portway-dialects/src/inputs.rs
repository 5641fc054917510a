//! What a dialect may ask of the world, handed in by the caller, so that a dialect stays a pure function.

use std::net::IpAddr;

/// Whether a name in a folder is wanted.
pub type Wanted = fn(&str) -> bool;

/// The environment and the files that a text may refer to.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// An environment variable by name.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The contents of a file, its path as the text says it (relative ones begin in the folder that the caller
    /// knows). The error says in words why it cannot be read, to stand after "cannot read `path`: ".
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The names in a folder, sorted, of what is wanted by its name: of files, and of folders with `/` at the end. `None` where the
    /// path is no folder.
    pub list: &'a dyn Fn(&str, Wanted) -> Option<Vec<String>>,
    /// The addresses of a host name, for places where an address is needed at once; empty where it has none.
    pub resolve: &'a dyn Fn(&str) -> Vec<IpAddr>,
    /// Certificates that cannot be read are warnings, and named in what is given back all the same: for who looks at a
    /// configuration of another machine.
    pub certificates_may_be_missing: bool,
}

impl Inputs<'static> {
    /// A world without variables, files and names.
    pub const NOTHING: Inputs<'static> = Inputs {
        environment: &|_| None,
        read: &|_| Err("there are no files here".to_owned()),
        list: &|_, _| None,
        resolve: &|_| Vec::new(),
        certificates_may_be_missing: false,
    };
}
