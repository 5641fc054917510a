//! Dates of log lines, in UTC and in the time of this machine, with the texts of the current second remembered.

use crate::zone::Zone;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The end of the year 9999: later moments are written as this one.
const LAST_SECOND: u64 = 253_402_300_799;

/// The texts of one second. Most records of a busy worker share theirs with the one before.
#[derive(Debug)]
pub struct Dates {
    zone: Zone,
    second: u64,
    date: Date,
}

/// One moment, written.
#[derive(Clone, Copy, Debug)]
pub struct Date {
    utc: Texts,
    local: Texts,
    microsecond: u32,
}

/// The forms of a second in one zone.
#[derive(Clone, Copy, Debug)]
struct Texts {
    /// `10/Oct/2000:13:55:36 +0000`
    common: [u8; 26],
    /// `2000-10-10T13:55:36` (RFC 3339).
    rfc3339: [u8; 19],
    /// `Oct 10 13:55:36` (RFC 3164 section 4.1.2), the day with a blank before it where it has one digit.
    syslog: [u8; 15],
}

impl Default for Dates {
    fn default() -> Dates {
        Dates::new(Zone::utc())
    }
}

impl Dates {
    /// Dates whose local time is that of `zone`.
    pub fn new(zone: Zone) -> Dates {
        let date = Date::new(0, &zone);
        Dates {
            zone,
            second: 0,
            date,
        }
    }

    /// The date of a moment; moments before 1970 are written as its first second.
    pub fn at(&mut self, moment: SystemTime) -> &Date {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs().min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.date = Date::new(second, &self.zone);
        }
        self.date.microsecond = since.subsec_micros();
        &self.date
    }
}

impl Date {
    fn new(second: u64, zone: &Zone) -> Date {
        let utc = Texts::new(second, 0);
        let offset = zone.offset(i64::try_from(second).unwrap_or(i64::MAX));
        Date {
            utc,
            local: match offset {
                0 => utc,
                offset => Texts::new(second.saturating_add_signed(offset.into()), offset),
            },
            microsecond: 0,
        }
    }

    /// `10/Oct/2000:13:55:36 +0000`
    pub fn common(&self) -> &[u8; 26] {
        &self.utc.common
    }

    /// `10/Oct/2000:15:55:36 +0200`
    pub fn common_local(&self) -> &[u8; 26] {
        &self.local.common
    }

    /// Appends `2000-10-10T13:55:36.123Z`.
    pub fn write_rfc3339(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.utc.rfc3339);
        let mut fraction = *b".000Z";
        put(&mut fraction, 1, 3, u64::from(self.microsecond / 1_000));
        out.extend_from_slice(&fraction);
    }

    /// The milliseconds of its second, `123`.
    pub fn milliseconds(&self) -> [u8; 3] {
        let mut digits = *b"000";
        put(&mut digits, 0, 3, u64::from(self.microsecond / 1_000));
        digits
    }

    /// Appends `10/Oct/2000:15:55:36.123`, local time without its offset.
    pub fn write_milliseconds(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.local.common.first_chunk::<20>().unwrap_or(&[b' '; 20]));
        let mut fraction = *b".000";
        put(&mut fraction, 1, 3, u64::from(self.microsecond / 1_000));
        out.extend_from_slice(&fraction);
    }

    /// Appends `Oct 10 15:55:36`, local time.
    pub fn write_syslog(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.local.syslog);
    }

    /// Appends `2000-10-10T15:55:36.123456+02:00`, local time.
    pub fn write_microseconds(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.local.rfc3339);
        let mut fraction = *b".000000";
        put(&mut fraction, 1, 6, u64::from(self.microsecond));
        out.extend_from_slice(&fraction);
        let [.., sign, h1, h2, m1, m2] = self.local.common;
        out.extend_from_slice(&[sign, h1, h2, b':', m1, m2]);
    }
}

impl Texts {
    /// The texts of a second of local time, which is `offset` seconds east of UTC.
    fn new(second: u64, offset: i32) -> Texts {
        let (year, month, day) = civil(second / 86_400);
        let time = second % 86_400;
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or(b"Jan");
        let mut common = *b"00/Jan/0000:00:00:00 +0000";
        put(&mut common, 0, 2, day);
        copy(&mut common, 3, month_name);
        put(&mut common, 7, 4, year);
        put(&mut common, 12, 2, hour);
        put(&mut common, 15, 2, minute);
        put(&mut common, 18, 2, second);
        copy(&mut common, 21, if offset < 0 { b"-" } else { b"+" });
        let minutes = u64::from(offset.unsigned_abs() / 60);
        put(&mut common, 22, 2, minutes / 60);
        put(&mut common, 24, 2, minutes % 60);
        let mut rfc3339 = *b"0000-00-00T00:00:00";
        put(&mut rfc3339, 0, 4, year);
        put(&mut rfc3339, 5, 2, month);
        put(&mut rfc3339, 8, 2, day);
        put(&mut rfc3339, 11, 2, hour);
        put(&mut rfc3339, 14, 2, minute);
        put(&mut rfc3339, 17, 2, second);
        let mut syslog = *b"Jan 00 00:00:00";
        copy(&mut syslog, 0, month_name);
        put(&mut syslog, 4, 2, day);
        if day < 10 {
            copy(&mut syslog, 4, b" ");
        }
        put(&mut syslog, 7, 2, hour);
        put(&mut syslog, 10, 2, minute);
        put(&mut syslog, 13, 2, second);
        Texts {
            common,
            rfc3339,
            syslog,
        }
    }
}

/// Writes `from` at a place.
fn copy(text: &mut [u8], at: usize, from: &[u8]) {
    for (to, from) in text.iter_mut().skip(at).zip(from) {
        *to = *from;
    }
}

/// Writes the last `digits` digits of `value` at `from`.
fn put(text: &mut [u8], from: usize, digits: usize, mut value: u64) {
    for place in text.iter_mut().skip(from).take(digits).rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month (1 to 12) and day of a day since 1970-01-01 in the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year, within eras of 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31 30 31 30 31 days, again and again: 153 days in five months.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn texts(seconds: u64, milliseconds: u64) -> (String, String) {
        let moment = UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + milliseconds);
        let mut dates = Dates::default();
        let date = dates.at(moment);
        let mut out = Vec::new();
        date.write_rfc3339(&mut out);
        let common = String::from_utf8(date.common().to_vec()).expect("ASCII");
        (common, String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn known_moments() {
        let check = |seconds, milliseconds, common: &str, rfc3339: &str| {
            assert_eq!(
                texts(seconds, milliseconds),
                (common.into(), rfc3339.into())
            );
        };
        check(
            0,
            0,
            "01/Jan/1970:00:00:00 +0000",
            "1970-01-01T00:00:00.000Z",
        );
        check(
            971_186_136,
            7,
            "10/Oct/2000:13:55:36 +0000",
            "2000-10-10T13:55:36.007Z",
        );
        check(
            951_782_400,
            0,
            "29/Feb/2000:00:00:00 +0000",
            "2000-02-29T00:00:00.000Z",
        );
        check(
            1_709_251_199,
            999,
            "29/Feb/2024:23:59:59 +0000",
            "2024-02-29T23:59:59.999Z",
        );
        check(
            4_107_542_400,
            0,
            "01/Mar/2100:00:00:00 +0000",
            "2100-03-01T00:00:00.000Z",
        );
        check(
            LAST_SECOND,
            0,
            "31/Dec/9999:23:59:59 +0000",
            "9999-12-31T23:59:59.000Z",
        );
        check(
            LAST_SECOND + 5,
            0,
            "31/Dec/9999:23:59:59 +0000",
            "9999-12-31T23:59:59.000Z",
        );
    }

    /// Walks every day of 800 years beside a calendar that only knows how to count.
    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..800 * 365 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn before_1970_is_1970() {
        let mut dates = Dates::default();
        let date = dates.at(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(date.common(), b"01/Jan/1970:00:00:00 +0000");
    }

    #[test]
    fn local_times() {
        let check = |zone: &str, seconds: u64, expected: [&str; 4]| {
            let mut dates = Dates::new(Zone::posix(zone));
            let date = dates.at(UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + 42_007));
            let written = |write: fn(&Date, &mut Vec<u8>)| {
                let mut out = Vec::new();
                write(date, &mut out);
                String::from_utf8(out).expect("ASCII")
            };
            let common = String::from_utf8(date.common_local().to_vec()).expect("ASCII");
            let texts = [
                common,
                written(Date::write_milliseconds),
                written(Date::write_syslog),
                written(Date::write_microseconds),
            ];
            assert_eq!(texts, expected);
        };
        check(
            "CET-1CEST,M3.5.0,M10.5.0/3",
            1_709_251_199,
            [
                "01/Mar/2024:00:59:59 +0100",
                "01/Mar/2024:00:59:59.042",
                "Mar  1 00:59:59",
                "2024-03-01T00:59:59.042007+01:00",
            ],
        );
        check(
            "NST3:30",
            1_709_251_199,
            [
                "29/Feb/2024:20:29:59 -0330",
                "29/Feb/2024:20:29:59.042",
                "Feb 29 20:29:59",
                "2024-02-29T20:29:59.042007-03:30",
            ],
        );
    }
}
