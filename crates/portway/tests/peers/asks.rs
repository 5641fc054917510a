//! What tables of policies ask, and what must stand in the answers while a target serves and while none does.

use crate::stage::Stage;

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

/// The head of an answer with what follows it.
fn answer(stage: &Stage, port: u16, ask: &Ask, words: &[(&str, &str)]) -> String {
    let url = format!("http://127.0.0.1:{port}{}", ask.path);
    let with = ask.with(words);
    let mut arguments = vec!["-s", "-i", "-m", "30"];
    arguments.extend(with.iter().map(String::as_str));
    arguments.push(&url);
    stage.scene.curl(&arguments).good()
}

/// Each policy, by its port and the name of its group, holds while one target of two is dead, after a reload where it is the other,
/// while both are, and after that. `texts`: the configuration of the first three; the stage has begun with the first. `{token}` and
/// `{long}` in what is asked are this token and four kilobytes.
pub(crate) fn hold(
    stage: &Stage,
    policies: &[(u16, &str, &[Ask])],
    [one_dead, other_dead, all_dead]: &[String; 3],
    token: &str,
) {
    let long = "all work and no play ".repeat(200);
    let phases = [
        ("a retry", None, true),
        ("a reload", Some(other_dead), true),
        ("dead targets", Some(all_dead), false),
        ("their return", Some(one_dead), true),
    ];
    let mut before = "";
    for (phase, change, serves) in phases {
        if let Some(text) = change {
            stage.becomes(text);
        }
        for (port, name, asks) in policies {
            let retries = format!("portway_target_group_retries_total{{target_group=\"{name}\"}} ");
            let retried = || stage.metric(&retries).parse::<u64>().unwrap();
            let begun = retried();
            for ask in *asks {
                let key = if before.is_empty() { phase } else { before };
                let words = [
                    ("{phase}", phase),
                    ("{before}", key),
                    ("{token}", token),
                    ("{long}", &*long),
                ];
                let answer = answer(stage, *port, ask, &words);
                ask.check(&answer, serves, &format!("{name}, {phase}"));
            }
            // What falls to a dead target is served by another.
            let mut asked = 0;
            while serves && retried() == begun {
                let mut asks = asks.iter().filter(|ask| ask.served.contains(&SERVED));
                let key = format!("{asked} after {phase}");
                let words = [("{phase}", &*key), ("{token}", token), ("{long}", &*long)];
                let answer = answer(stage, *port, asks.next().expect(name), &words);
                let (served, few) = (answer.contains(SERVED), asked < 20);
                assert!(served && few, "{name}, {phase}: {answer}");
                asked += 1;
            }
        }
        before = phase;
    }
}
