//! The time zone of dates in logs.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time zone: that of this machine, or UTC.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// What `TZ` or `/etc/localtime` says now; UTC where neither says anything that is understood.
    pub fn system() -> Zone {
        Zone(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// Seconds east of UTC at this second since 1970.
    pub fn offset(&self, second: i64) -> i32 {
        match Timestamp::from_second(second) {
            Ok(moment) => self.0.to_offset(moment).seconds(),
            // Beyond the year 9999.
            Err(_) => 0,
        }
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::utc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        let paris = Zone(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone"));
        assert_eq!(paris.offset(1_709_251_199), 3_600);
        assert_eq!(paris.offset(1_720_000_000), 7_200);
        assert_eq!(Zone::utc().offset(1_720_000_000), 0);
        assert_eq!(paris.offset(i64::MAX), 0);
    }

    /// A zone for tests of other modules.
    impl Zone {
        pub(crate) fn posix(text: &str) -> Zone {
            Zone(TimeZone::posix(text).expect("a zone"))
        }
    }
}
