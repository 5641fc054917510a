//! What the agent of a target says: one line of words, in any order, in HAProxy's form.
//!
//! Decides what the words mean; carrying them out is control's. Of several words of a kind the last one counts. A word
//! that is not known does no harm: it is reported.

/// What a line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentAnswer<'a> {
    /// The state of the target, with the word for it as it was written.
    pub state: Option<(AgentState, &'a str)>,
    /// What the target is told to do.
    pub order: Option<AgentOrder>,
    /// A part of the configured weight, such as `75%`.
    pub weight: Option<&'a str>,
    /// Connections at most: what stands behind `maxconn:`.
    pub limit: Option<&'a str>,
    /// The first word that is not known.
    pub unknown: Option<&'a str>,
    /// What stands behind `#`.
    pub comment: &'a str,
}

/// The state of a target, as its agent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// `up`.
    Up,
    /// `down`, `fail` or `stopped`.
    Down,
}

/// What an agent tells a target to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentOrder {
    /// To take traffic as checks allow.
    Ready,
    /// To take no new traffic.
    Drain,
    /// To take no traffic.
    Maintain,
}

impl<'a> AgentAnswer<'a> {
    /// Reads the first line of what came. `None`: the line has no end yet.
    pub fn read(came: &'a [u8]) -> Option<AgentAnswer<'a>> {
        let end = came.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let line = came.get(..end).unwrap_or_default();
        // What is no UTF-8 says nothing that is known; what stands before it counts.
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let good = line.get(..error.valid_up_to()).unwrap_or_default();
                std::str::from_utf8(good).unwrap_or_default()
            }
        };
        Some(Self::of_line(text))
    }

    fn of_line(mut rest: &'a str) -> Self {
        let mut answer = Self::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if let Some(comment) = rest.strip_prefix('#') {
                answer.comment = comment.trim_start_matches([' ', '\t']);
                return answer;
            }
            let end = rest.find([' ', '\t', ',']).unwrap_or(rest.len());
            let Some((word, more)) = rest.split_at_checked(end).filter(|_| end > 0) else {
                return answer;
            };
            answer.take(word);
            rest = more;
        }
    }

    fn take(&mut self, word: &'a str) {
        const LIMIT: &str = "maxconn:";
        let is_weight = word.starts_with(|it: char| it.is_ascii_digit()) && word.contains('%');
        let limit = word
            .split_at_checked(LIMIT.len())
            .filter(|(name, _)| name.eq_ignore_ascii_case(LIMIT));
        match word.to_ascii_lowercase().as_str() {
            "up" => self.state = Some((AgentState::Up, word)),
            "down" | "fail" | "stopped" => self.state = Some((AgentState::Down, word)),
            "ready" => self.order = Some(AgentOrder::Ready),
            "drain" => self.order = Some(AgentOrder::Drain),
            "maint" => self.order = Some(AgentOrder::Maintain),
            _ if is_weight => self.weight = Some(word),
            _ if limit.is_some() => self.limit = limit.map(|(_, limit)| limit),
            _ => self.unknown = self.unknown.or(Some(word)),
        }
    }

    /// What is reported of it, where `warning` says what could not be carried out. Why a target is down comes first;
    /// else what was not understood does.
    pub fn report(&self, warning: Option<&str>) -> String {
        let odd = self.unknown.or(warning);
        match (self.state, odd) {
            (Some((state, word)), odd) => {
                let comment = Some(self.comment).filter(|it| !it.is_empty());
                let note = match state {
                    AgentState::Up => odd.or(comment),
                    AgentState::Down => comment.or(odd),
                };
                let note = note.map_or_else(String::new, |note| format!(" ({note})"));
                format!("via agent : {word}{note}")
            }
            (None, None) => String::new(),
            (None, Some(odd)) => match self.unknown {
                Some(_) => format!("agent reports an error : {odd}"),
                None => format!("agent warns : {odd}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line() {
        let check = |line: &str, expected: &str| {
            let answer = AgentAnswer::read(line.as_bytes()).unwrap();
            let said = format!(
                "{:?} {:?} {} {} {}",
                answer.state.map(|(state, _)| state),
                answer.order,
                answer.weight.unwrap_or("-"),
                answer.limit.unwrap_or("-"),
                answer.report(None),
            );
            assert_eq!(said, expected, "{line:?}");
        };
        check("\n", "None None - - ");
        check("up\r\n", "Some(Up) None - - via agent : up");
        check(
            "ready,UP\t70%,maxconn:7 # all\nno",
            "Some(Up) Some(Ready) 70% 7 via agent : UP (all)",
        );
        check(
            " down # overload\n",
            "Some(Down) None - - via agent : down (overload)",
        );
        check("fail foo\n", "Some(Down) None - - via agent : fail (foo)");
        check(
            "foo up bar # fine\n",
            "Some(Up) None - - via agent : up (foo)",
        );
        check(
            "stopped#bye\n",
            "None None - - agent reports an error : stopped#bye",
        );
        check("drain maint 5%x\n", "None Some(Maintain) 5%x - ");
        check("%\n", "None None - - agent reports an error : %");
        assert_eq!(AgentAnswer::read(b"ready"), None);
        let warned = AgentAnswer::read(b"maxconn:x\n").unwrap();
        assert_eq!(warned.report(Some("no")), "agent warns : no");
        assert_eq!(AgentAnswer::read(b"up \xff\n").unwrap().unknown, None);
    }
}
