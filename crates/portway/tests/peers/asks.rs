//! What tables of policies ask, and what must stand in the answers while a target serves and while none does.

/// What stands in the answer of a target; what it received follows.
pub(crate) const SERVED: &str = "X-Server: live";

/// A request, and what its answer has in it; what begins with `-` it does not have.
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    /// For curl. `{phase}` is another word each time that something has changed, `{before}` the one before it.
    pub(crate) with: &'static [&'static str],
    pub(crate) served: &'static [&'static str],
    pub(crate) dead: &'static [&'static str],
}

pub(crate) const fn ask(
    path: &'static str,
    with: &'static [&'static str],
    served: &'static [&'static str],
    dead: &'static [&'static str],
) -> Ask {
    Ask {
        path,
        with,
        served,
        dead,
    }
}

impl Ask {
    /// The arguments of curl, with these words in place of others.
    pub(crate) fn with(&self, words: &[(&str, &str)]) -> Vec<String> {
        let said = |text: &&str| {
            words.iter().fold((*text).to_owned(), |text, (word, by)| {
                text.replace(word, by)
            })
        };
        self.with.iter().map(said).collect()
    }

    /// Looks for everything that must stand in the answer. `of`: whose it is, and when.
    #[track_caller]
    pub(crate) fn check(&self, answer: &str, serves: bool, of: &str) {
        for part in if serves { self.served } else { self.dead } {
            let good = match part.strip_prefix('-') {
                Some(part) => !answer.contains(part),
                None => answer.contains(part),
            };
            assert!(good, "{of}, {}: `{part}`: {answer}", self.path);
        }
    }
}
