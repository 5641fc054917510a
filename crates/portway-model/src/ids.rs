//! Ids: where an object stands in the lists of a snapshot.

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The index into the snapshot's list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )+};
}

ids! {
    /// Index of a listener.
    ListenerId,
    /// Index of a target group.
    GroupId,
    /// Index of a certificate.
    CertificateId,
    /// Index of a stick table.
    StickTableId,
    /// Index of a map.
    MapId,
    /// Index of a list of users.
    UserlistId,
}
