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

/// A policy: the port that it is asked at, and the name of its group.
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) asks: &'static [Ask],
    /// Whether a dead target is asked again and again: some ways to choose learn.
    pub(crate) retried: bool,
}

impl Policy {
    pub(crate) fn new(name: &'static str, port: u16, asks: &'static [Ask]) -> Self {
        Self {
            name,
            port,
            asks,
            retried: true,
        }
    }
}

/// Who is let through once for each key, whatever has changed meanwhile; `dead`: what the first answer has where no target serves.
pub(crate) const fn once_each(dead: &'static [&'static str]) -> [Ask; 3] {
    let (now, before) = (&["-H", "X-Key: {phase}"], &["-H", "X-Key: {before}"]);
    let (refused, none) = (&[" 429 ", "-X-Server"], &[" 429 "]);
    [
        ask("/", now, &[" 200 ", SERVED], dead),
        ask("/", now, refused, none),
        ask("/", before, refused, none),
    ]
}

/// Words in place of others.
pub(crate) type Words<'w> = &'w [(&'w str, &'w str)];

/// Portway with all policies.
pub(crate) trait Site {
    /// Runs this configuration from now on.
    fn becomes(&mut self, text: &str);

    /// How often something was tried again at another target of this group.
    fn retries(&self, group: &str) -> u64;

    /// The head of an answer with what follows it.
    fn answer(
        &mut self,
        policy: &Policy,
        ask: &Ask,
        phase: &'static str,
        words: Words<'_>,
    ) -> String;
}

/// The sum of the retries of a group, and of what is it with settings of a router (`NAME (…)`), as all metrics say.
pub(crate) fn retries_of(metrics: &str, group: &str) -> u64 {
    let start = format!("portway_target_group_retries_total{{target_group=\"{group}");
    let of_group = metrics.lines().filter_map(|it| it.strip_prefix(&start));
    let of_group = of_group.filter(|it| it.starts_with("\"} ") || it.starts_with(" ("));
    let numbers = of_group.map(|it| it.rsplit(' ').next().unwrap());
    numbers.map(|it| it.parse::<u64>().unwrap()).sum()
}

impl Site for Stage {
    fn becomes(&mut self, text: &str) {
        Stage::becomes(self, text);
    }

    fn retries(&self, group: &str) -> u64 {
        retries_of(&self.metrics(), group)
    }

    fn answer(&mut self, policy: &Policy, ask: &Ask, _: &'static str, words: Words<'_>) -> String {
        let url = format!("http://127.0.0.1:{}{}", policy.port, ask.path);
        let with = ask.with(words);
        let mut arguments = vec!["-s", "-i", "-m", "30"];
        arguments.extend(with.iter().map(String::as_str));
        arguments.push(&url);
        self.scene.curl(&arguments).good()
    }
}

/// Each policy holds while one target of two is dead, after a reload where it is the other, while both are, and after that.
/// `texts`: the configuration of the first three; the site has begun with the first. `{token}` and `{long}` in what is asked are
/// this token and four kilobytes.
pub(crate) fn hold(
    site: &mut impl Site,
    policies: &[Policy],
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
    let mut before = "a retry";
    for (phase, change, serves) in phases {
        if let Some(text) = change {
            site.becomes(text);
        }
        for policy in policies {
            let Policy { name, asks, .. } = policy;
            let answer = |site: &mut _, ask, key: &str| {
                let words = [
                    ("{phase}", key),
                    ("{before}", before),
                    ("{token}", token),
                    ("{long}", &*long),
                ];
                Site::answer(site, policy, ask, phase, &words)
            };
            let begun = site.retries(name);
            for ask in *asks {
                let answer = answer(site, ask, phase);
                ask.check(&answer, serves, &format!("{name}, {phase}"));
            }
            // What falls to a dead target is served by another.
            let served = asks.iter().find(|ask| ask.served.contains(&SERVED));
            let Some(ask) = served.filter(|_| serves && policy.retried) else {
                continue;
            };
            let mut asked = 0;
            while site.retries(name) == begun {
                let answer = answer(site, ask, &format!("{asked} after {phase}"));
                let (served, few) = (answer.contains(SERVED), asked < 20);
                assert!(served && few, "{name}, {phase}: {answer}");
                asked += 1;
            }
        }
        before = phase;
    }
}
