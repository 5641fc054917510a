//! Who of those that wait is served first: a class, then a time.
//!
//! As HAProxy has it: lower classes go before higher ones, however long those have waited. Within a class the order is that of
//! arrival, each arrival moved by the request's own offset: one with an offset of -2 s is served as if it had come two seconds
//! earlier. What has the same moment is served in the order of coming.

/// What rules say of a request's place among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Priority {
    /// Lower is served first.
    class: i16,
    /// Milliseconds that its arrival is moved by; below 0: it counts as having come earlier.
    offset: i32,
}

/// Classes reach from this below 0 to this above it, as in HAProxy.
pub const MAX_CLASS: i16 = 2047;
/// Offsets reach from this below 0 to this above it, in milliseconds, as in HAProxy: some nine minutes.
pub const MAX_OFFSET: i32 = 524_287;

impl Priority {
    /// The same in another class; a number beyond the limits is the nearest within them.
    #[must_use]
    pub fn with_class(self, class: i64) -> Self {
        let class = class.clamp((-MAX_CLASS).into(), MAX_CLASS.into());
        Self {
            class: i16::try_from(class).unwrap_or_default(),
            ..self
        }
    }

    /// The same with another offset; a number beyond the limits is the nearest within them.
    #[must_use]
    pub fn with_offset(self, milliseconds: i64) -> Self {
        let offset = milliseconds.clamp((-MAX_OFFSET).into(), MAX_OFFSET.into());
        Self {
            offset: i32::try_from(offset).unwrap_or_default(),
            ..self
        }
    }

    /// Its class.
    pub fn class(self) -> i16 {
        self.class
    }

    /// Its offset in milliseconds.
    pub fn offset(self) -> i32 {
        self.offset
    }

    /// Where who comes at this moment (milliseconds of any clock) stands among the others.
    pub fn at(self, milliseconds: u64) -> Order {
        let came = i64::try_from(milliseconds).unwrap_or(i64::MAX);
        Order {
            class: self.class,
            due: came.saturating_add(self.offset.into()),
        }
    }
}

/// A place in the order of those that wait: the least is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    class: i16,
    due: i64,
}

#[cfg(test)]
mod tests {
    use super::{MAX_CLASS, MAX_OFFSET, Priority};
    use proptest::prelude::*;

    #[test]
    fn classes_before_times_and_times_with_offsets() {
        let at = |class, offset, came| {
            let priority = Priority::default().with_class(class).with_offset(offset);
            priority.at(came)
        };
        let check = |first, second| assert!(first < second, "{first:?} {second:?}");
        check(at(0, 0, 10), at(0, 0, 11));
        check(at(-1, 0, 1_000_000), at(0, 0, 0));
        check(at(0, 0, 5), at(1, -500_000, 0));
        check(at(0, -100, 50), at(0, 0, 0));
        check(at(0, 0, 99), at(0, 100, 0));
        assert_eq!(at(0, -10, 20), at(0, 0, 10));
    }

    proptest! {
        #[test]
        fn numbers_beyond_the_limits_are_the_nearest(class: i64, offset: i64) {
            let priority = Priority::default().with_class(class).with_offset(offset);
            prop_assert!(priority.class().abs() <= MAX_CLASS);
            prop_assert!(priority.offset().abs() <= MAX_OFFSET);
            let same = |it: i64, most: i64| it.abs() <= most;
            prop_assert!(!same(class, MAX_CLASS.into()) || i64::from(priority.class()) == class);
            prop_assert!(!same(offset, MAX_OFFSET.into()) || i64::from(priority.offset()) == offset);
        }

        /// Who comes later with the same words never goes before, and an earlier class always does.
        #[test]
        fn nobody_of_the_same_kind_overtakes(class: i64, offset: i64, came: u32, later: u32, worse in 1_i64..100) {
            let priority = Priority::default().with_class(class).with_offset(offset);
            let (first, second) = (u64::from(came), u64::from(came) + u64::from(later));
            prop_assert!(priority.at(first) <= priority.at(second));
            let behind = priority.with_class(i64::from(priority.class()) + worse);
            if behind.class() != priority.class() {
                prop_assert!(priority.at(second) < behind.at(first));
            }
        }
    }
}
