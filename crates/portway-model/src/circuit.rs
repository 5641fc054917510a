//! Circuit breakers: requests that are answered at once while what they go to fails.

use crate::name::Name;
use std::fmt;
use std::time::Duration;

/// A circuit breaker, as a rule has it. It sees what becomes of the requests that it lets pass.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitBreaker {
    /// Rules that name the same one have it together, and say the same of it.
    pub name: Name,
    /// It opens when this holds of the requests of the last seconds.
    pub opens_when: Opens,
    /// How often that is looked at.
    pub check_period: Duration,
    /// It says something from so many requests on.
    pub min_requests: u32,
    /// How long nothing passes once it is open.
    pub open_for: Duration,
    /// How long the share of requests that pass rises after that, to all of them.
    pub recover_over: Duration,
    /// What is answered to those that do not.
    pub status: u16,
}

/// The time that a circuit breaker looks back.
pub const WINDOW: Duration = Duration::from_secs(10);
/// How often it looks: as Traefik's.
pub const CHECK_PERIOD: Duration = Duration::from_millis(100);
/// How long nothing passes: as Traefik's.
pub const OPEN_FOR: Duration = Duration::from_secs(10);
/// How long the share rises: as Traefik's.
pub const RECOVER_OVER: Duration = Duration::from_secs(10);
/// From so many requests on a ratio says something: one failed request does not close a service.
pub const MIN_REQUESTS: u32 = 20;
/// What is answered: as Traefik's.
pub const STATUS: u16 = 503;
/// Most figures and connectives in the condition of one: each costs time in every look.
pub const MAX_TERMS: usize = 64;

/// When a circuit breaker opens.
#[derive(Debug, Clone, PartialEq)]
pub enum Opens {
    /// All of these hold.
    All(Vec<Opens>),
    /// One of them holds.
    Any(Vec<Opens>),
    /// A figure of the last seconds is so.
    Is(Figure, Comparison, f64),
}

/// A figure of the requests of the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Of all requests, the share that no target answered: they had a fault of the target, or 502 or 504.
    NetworkErrorRatio,
    /// Of the responses with a status from the third number up to, and without, the fourth, the share of those from the first
    /// up to, and without, the second; 0 where there are none.
    ResponseCodeRatio([u16; 4]),
    /// So many percent of requests took no longer than this many milliseconds.
    LatencyAtQuantileMs(f64),
}

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

impl Comparison {
    /// All, those first that begin with another.
    pub const ALL: [Comparison; 6] = [
        Comparison::AtLeast,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::Above,
        Comparison::Below,
    ];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "==",
            Comparison::Unequal => "!=",
        }
    }

    /// True where the two compare so.
    #[allow(clippy::float_cmp, reason = "who writes == means it")]
    pub fn holds(self, one: f64, other: f64) -> bool {
        match self {
            Comparison::Above => one > other,
            Comparison::AtLeast => one >= other,
            Comparison::Below => one < other,
            Comparison::AtMost => one <= other,
            Comparison::Equal => one == other,
            Comparison::Unequal => one != other,
        }
    }
}

impl Opens {
    /// Its figures, in order.
    pub fn figures(&self) -> Vec<Figure> {
        match self {
            Opens::All(parts) | Opens::Any(parts) => {
                parts.iter().flat_map(Opens::figures).collect()
            }
            Opens::Is(figure, ..) => vec![*figure],
        }
    }

    /// True where it holds; `value` says what a figure is.
    pub fn holds(&self, value: &impl Fn(Figure) -> f64) -> bool {
        match self {
            Opens::All(parts) => parts.iter().all(|it| it.holds(value)),
            Opens::Any(parts) => parts.iter().any(|it| it.holds(value)),
            Opens::Is(figure, comparison, than) => comparison.holds(value(*figure), *than),
        }
    }

    fn write(&self, within_all: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Opens::Is(figure, comparison, than) => {
                return write!(f, "{figure} {} {than}", comparison.word());
            }
            Opens::All(parts) => (parts, " && "),
            Opens::Any(parts) => (parts, " || "),
        };
        let in_brackets = within_all && matches!(self, Opens::Any(_));
        f.write_str(if in_brackets { "(" } else { "" })?;
        for (index, part) in parts.iter().enumerate() {
            f.write_str(if index > 0 { word } else { "" })?;
            part.write(matches!(self, Opens::All(_)), f)?;
        }
        f.write_str(if in_brackets { ")" } else { "" })
    }
}

impl fmt::Display for Opens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(false, f)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::NetworkErrorRatio => f.write_str("NetworkErrorRatio()"),
            Figure::ResponseCodeRatio([from, to, of, up_to]) => {
                write!(f, "ResponseCodeRatio({from}, {to}, {of}, {up_to})")
            }
            Figure::LatencyAtQuantileMs(percent) => write!(f, "LatencyAtQuantileMS({percent})"),
        }
    }
}
