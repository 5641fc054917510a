//! What values tell of listeners, target groups, targets and stick tables as a whole.

/// A number of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerFigure {
    /// Connections open on it.
    Connections,
    /// Connections that it accepted in the last second.
    ConnectionRate,
    /// Requests that came to it in the last second.
    RequestRate,
}

/// A number of a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupFigure {
    /// Requests that wait for a target.
    Queued,
    /// The same, divided by the usable targets.
    AverageQueue,
    /// Connections in the last second.
    ConnectionRate,
    /// Connections and places in queues that are left, over all targets; -1 where a target has no limit of both.
    FreeSlots,
    /// Connections that are left, over all targets that may take traffic; -1 where one of them has no limit.
    FreeConnections,
}

/// Something of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetFigure {
    /// Boolean: it may take traffic.
    Usable,
    /// Number: connections open to it.
    Connections,
    /// Number: requests that wait for it.
    Queued,
    /// Number: its weight now.
    Weight,
    /// Number: the weight that the configuration says.
    ConfiguredWeight,
    /// Number: connections that are left; -1 where it has no limit.
    FreeConnections,
    /// Number: connections in the last second.
    ConnectionRate,
}

/// What is known of an entry of a stick table beside its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryFigure {
    /// Connections and exchanges that track it now.
    Trackers,
    /// Milliseconds until it is forgotten; absent where it never is.
    ExpiresIn,
    /// Milliseconds since it was used last.
    Idle,
}

/// What is known of a stick table as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFigure {
    /// Entries that it has.
    Used,
    /// Entries that it has room for.
    Free,
}
