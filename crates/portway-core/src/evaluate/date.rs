//! Dates as text: the conversions of strftime(3), and the date of HTTP headers.

use std::io::Write;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SECONDS_A_DAY: i64 = 86_400;

/// RFC 9110 §5.6.7.
pub(super) const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Seconds since 1970 as headers say them.
pub(crate) fn seconds_as_http_date(seconds: i64) -> String {
    let mut out = Vec::new();
    write(HTTP_DATE, seconds, 0, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A moment in the calendar.
struct Moment {
    seconds: i64,
    /// Seconds that its clock is ahead of UTC.
    ahead: i32,
    year: i64,
    /// From 1.
    month: u8,
    day: u8,
    hour: i64,
    minute: i64,
    second: i64,
    /// From 0, Sunday.
    weekday: u8,
    /// From 1.
    day_of_year: i64,
}

impl Moment {
    /// The moment so many seconds after 1970 on a clock that is `ahead` seconds ahead of UTC.
    fn of(seconds: i64, ahead: i32) -> Self {
        let local = seconds.saturating_add(i64::from(ahead));
        let days = local.div_euclid(SECONDS_A_DAY);
        let second_of_day = local.rem_euclid(SECONDS_A_DAY);
        let (year, month, day) = civil(days);
        let weekday = (days + 4).rem_euclid(7);
        Self {
            seconds,
            ahead,
            year,
            month,
            day,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            weekday: u8::try_from(weekday).unwrap_or(0),
            day_of_year: days - days_of(year) + 1,
        }
    }

    fn weekday_name(&self) -> &'static str {
        DAYS.get(usize::from(self.weekday)).copied().unwrap_or("")
    }

    fn month_name(&self) -> &'static str {
        let index = usize::from(self.month.saturating_sub(1));
        MONTHS.get(index).copied().unwrap_or("")
    }

    fn hour12(&self) -> i64 {
        match self.hour % 12 {
            0 => 12,
            hour => hour,
        }
    }

    /// Weeks of this year so far, where the first day of a week is this far after Sunday.
    fn week(&self, first: i64) -> i64 {
        let since_first = (i64::from(self.weekday) + 7 - first) % 7;
        (self.day_of_year + 6 - since_first) / 7
    }

    /// Year and week of ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let monday = (i64::from(self.weekday) + 6) % 7;
        let week = (self.day_of_year - 1 - monday + 10) / 7;
        let long = |year: i64| {
            let first = (days_of(year) + 4).rem_euclid(7);
            let last = (days_of(year + 1) + 3).rem_euclid(7);
            first == 4 || last == 4
        };
        match week {
            0 if long(self.year - 1) => (self.year - 1, 53),
            0 => (self.year - 1, 52),
            53 if !long(self.year) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }
}

/// Days from 1970 to the first of a year.
fn days_of(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + (before.div_euclid(4) - 492) - (before.div_euclid(100) - 19)
        + (before.div_euclid(400) - 4)
}

/// Days from 1970 to a day of the calendar; `None`: there is none such.
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let before = days_of(year);
    let days = before..days_of(year + 1);
    let first = before + (month - 1) * 28;
    let wanted = (year, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    // No month begins later than three days a month after the shortest it could be.
    (first..first + 64).find(|it| days.contains(it) && civil(*it) == wanted)
}

/// Year, month and day of a number of days since 1970.
fn civil(days: i64) -> (i64, u8, u8) {
    // Near enough to be at most one year off; the loops mend that.
    let mut year = 1970 + days.div_euclid(366);
    while days < days_of(year) {
        year -= 1 + (days_of(year) - days) / 366;
    }
    while days >= days_of(year + 1) {
        year += 1 + (days - days_of(year + 1)) / 366;
    }
    let leap = days_of(year + 1) - days_of(year) == 366;
    let mut left = days - days_of(year);
    let lengths = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1_u8;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month.min(12), u8::try_from(left + 1).unwrap_or(1))
}

/// Latest moment that is written, the end of the year 9999 and of its like before: there are no dates beyond.
const FARTHEST: i64 = 253_402_300_799;

/// Appends a moment in this format of strftime(3). What is no conversion stays as it is.
pub(super) fn write(format: &str, seconds: i64, ahead: i32, out: &mut Vec<u8>) {
    let moment = Moment::of(seconds.clamp(-FARTHEST, FARTHEST), ahead);
    let mut rest = format;
    while let Some((plain, after)) = rest.split_once('%') {
        out.extend_from_slice(plain.as_bytes());
        let mut chars = after.chars();
        match chars.next() {
            Some(conversion) => convert(conversion, &moment, out),
            None => out.push(b'%'),
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Appends one conversion.
fn convert(conversion: char, m: &Moment, out: &mut Vec<u8>) {
    let nested = |format: &str, out: &mut Vec<u8>| write(format, m.seconds, m.ahead, out);
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    // Writing to a vector cannot fail.
    let _ = match conversion {
        'a' => write!(out, "{}", short(m.weekday_name())),
        'A' => write!(out, "{}", m.weekday_name()),
        'b' | 'h' => write!(out, "{}", short(m.month_name())),
        'B' => write!(out, "{}", m.month_name()),
        'C' => write!(out, "{:02}", m.year.div_euclid(100)),
        'd' => write!(out, "{:02}", m.day),
        'e' => write!(out, "{:2}", m.day),
        'g' => write!(out, "{:02}", m.iso_week().0.rem_euclid(100)),
        'G' => write!(out, "{}", m.iso_week().0),
        'H' => write!(out, "{:02}", m.hour),
        'I' => write!(out, "{:02}", m.hour12()),
        'j' => write!(out, "{:03}", m.day_of_year),
        'k' => write!(out, "{:2}", m.hour),
        'l' => write!(out, "{:2}", m.hour12()),
        'm' => write!(out, "{:02}", m.month),
        'M' => write!(out, "{:02}", m.minute),
        'n' => out.write_all(b"\n"),
        'p' => out.write_all(if m.hour < 12 { b"AM" } else { b"PM" }),
        'P' => out.write_all(if m.hour < 12 { b"am" } else { b"pm" }),
        's' => write!(out, "{}", m.seconds),
        'S' => write!(out, "{:02}", m.second),
        't' => out.write_all(b"\t"),
        'u' => write!(out, "{}", if m.weekday == 0 { 7 } else { m.weekday }),
        'U' => write!(out, "{:02}", m.week(0)),
        'V' => write!(out, "{:02}", m.iso_week().1),
        'w' => write!(out, "{}", m.weekday),
        'W' => write!(out, "{:02}", m.week(1)),
        'y' => write!(out, "{:02}", m.year.rem_euclid(100)),
        'Y' => write!(out, "{}", m.year),
        'z' => {
            let sign = if m.ahead < 0 { '-' } else { '+' };
            let minutes = m.ahead.unsigned_abs() / 60;
            write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        'Z' => out.write_all(b"GMT"),
        '%' => out.write_all(b"%"),
        'c' => return nested("%a %b %e %H:%M:%S %Y", out),
        'D' | 'x' => return nested("%m/%d/%y", out),
        'F' => return nested("%Y-%m-%d", out),
        'r' => return nested("%I:%M:%S %p", out),
        'R' => return nested("%H:%M", out),
        'T' | 'X' => return nested("%H:%M:%S", out),
        other => write!(out, "%{other}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(format: &str, seconds: i64, ahead: i32, expected: &str) {
        let mut out = Vec::new();
        write(format, seconds, ahead, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn dates() {
        let recorded = "%a_%b_%j_%e_%D_%T_%s_%%_%p_%I_%y_%C_%u_%w_%Z_%z";
        check(
            recorded,
            1_700_000_000,
            0,
            "Tue_Nov_318_14_11/14/23_22:13:20_1700000000_%_PM_10_23_20_2_2_GMT_+0000",
        );
        check("%F %T", 0, 0, "1970-01-01 00:00:00");
        check("%F %T %z", 0, -5_400, "1969-12-31 22:30:00 -0130");
        check(
            "%F %j %U %W %V %G",
            951_782_400,
            0,
            "2000-02-29 060 09 09 09 2000",
        );
        check("%F %V %G", 1_609_459_200, 0, "2021-01-01 53 2020");
        check("%F %V %G", 1_735_603_200, 0, "2024-12-31 01 2025");
        check("%F", -62_135_596_800, 0, "1-01-01");
        check("%q%", 0, 0, "%q%");
        check(
            "%a, %d %b %Y %H:%M:%S GMT",
            784_111_777,
            0,
            "Sun, 06 Nov 1994 08:49:37 GMT",
        );
    }

    proptest! {
        #[test]
        fn any_moment(seconds: i64, ahead: i32) {
            let mut out = Vec::new();
            write("%c %V %G %U %W", seconds, ahead, &mut out);
            prop_assert!(!out.is_empty());
        }

        #[test]
        fn days_come_one_after_the_other(days in -800_000_i64..3_000_000) {
            let (year, month, day) = civil(days);
            let (next_year, next_month, next_day) = civil(days + 1);
            let follows = (next_year, next_month, next_day) == (year, month, day + 1)
                || (next_day == 1 && (next_month == month + 1 || (next_year == year + 1 && next_month == 1)));
            prop_assert!(follows);
        }
    }
}
