//! What answers say, also those that lie.

use super::*;

/// An answer, put together by hand: header, question, records.
struct Answer {
    number: u16,
    flags: u16,
    question: Option<(&'static str, u16)>,
    answers: Vec<Vec<u8>>,
    authority: Vec<Vec<u8>>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|it| !it.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(name);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut data = [encoded("ns.example"), encoded("root.example")].concat();
    for number in [1, 2, 3, 4, minimum] {
        data.extend(number.to_be_bytes());
    }
    record("example", SOA, ttl, &data)
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            number: 7,
            flags: 0x8180,
            question: Some(("app.example", A)),
            answers: Vec::new(),
            authority: Vec::new(),
        }
    }
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = |it: usize| u16::try_from(it).unwrap();
        let asked = count(self.question.iter().len());
        let (answers, authority) = (count(self.answers.len()), count(self.authority.len()));
        for number in [self.number, self.flags, asked, answers, authority, 0] {
            bytes.extend(number.to_be_bytes());
        }
        if let Some((name, kind)) = self.question {
            bytes.extend(encoded(name));
            bytes.extend(kind.to_be_bytes());
            bytes.extend(1_u16.to_be_bytes());
        }
        let records = self.answers.iter().chain(&self.authority);
        records.for_each(|it| bytes.extend(it));
        bytes
    }

    fn read(&self) -> Result<Reply, NotAnswered> {
        self.read_for("app.example", Kind::A)
    }

    fn read_for(&self, name: &str, kind: Kind) -> Result<Reply, NotAnswered> {
        read(&self.bytes(), 7, &Question::new(name, kind).unwrap())
    }
}

fn address(text: &str) -> Data {
    Data::Address(text.parse().unwrap())
}

fn found(texts: &[&str], ttl: u64) -> Result<Reply, NotAnswered> {
    let data = texts.iter().map(|it| address(it)).collect();
    Ok(Reply::Found(data, Duration::from_secs(ttl)))
}

fn with(answers: Vec<Vec<u8>>) -> Answer {
    Answer {
        answers,
        ..Answer::default()
    }
}

#[test]
fn a_question_is_one_that_servers_read() {
    let asked = Question::new("app.Example.", Kind::Aaaa).unwrap();
    let plain = question(0x1234, &asked, None).unwrap();
    let mut expected = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    expected.extend(b"\x03app\x07Example\x00\x00\x1c\x00\x01");
    assert_eq!(plain, expected);
    let sized = question(0x1234, &asked, Some(1232)).unwrap();
    assert_eq!(sized.get(11), Some(&1));
    assert!(sized.ends_with(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]));
    for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(130)] {
        assert!(
            Question::new(name, Kind::A).is_none() || name.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn addresses_with_the_shortest_ttl_on_the_way() {
    let a = |name: &str, ttl: u32, last: u8| record(name, A, ttl, &[10, 0, 0, last]);
    let alias = |name: &str, ttl: u32, to: &str| record(name, CNAME, ttl, &encoded(to));
    let one = with(vec![
        a("app.example", 30, 1),
        a("APP.example", 20, 2),
        a("app.example", 30, 1),
    ]);
    assert_eq!(one.read(), found(&["10.0.0.1", "10.0.0.2"], 20));
    // Records of other names are none of its own, in whatever order aliases come.
    let aliased = with(vec![
        a("z.example", 60, 9),
        alias("y.example", 50, "z.example"),
        alias("app.example", 40, "y.example"),
        a("evil.example", 1, 66),
    ]);
    assert_eq!(aliased.read(), found(&["10.0.0.9"], 40));
    let round = with(vec![
        alias("app.example", 9, "b.example"),
        alias("b.example", 9, "app.example"),
    ]);
    assert_eq!(round.read(), Err(NotAnswered::Malformed));
    let nowhere = with(vec![alias("app.example", 9, "b.example")]);
    let nothing = Reply::Nothing {
        exists: true,
        ttl: None,
    };
    assert_eq!(nowhere.read(), Ok(nothing));
    let six = Answer {
        question: Some(("app.example", AAAA)),
        answers: vec![record("app.example", AAAA, 5, &[0xfd; 16])],
        ..Answer::default()
    };
    let expected = found(&["fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd"], 5);
    assert_eq!(six.read_for("app.example", Kind::Aaaa), expected);
}

#[test]
fn hosts_of_a_service() {
    let mut data = [0, 1, 0, 5, 0x1f, 0x90].to_vec();
    data.extend(encoded("a.example"));
    let name = "_http._tcp.app.example";
    let answer = Answer {
        question: Some((name, SRV)),
        answers: vec![record(name, SRV, 8, &data)],
        ..Answer::default()
    };
    let service = Service {
        priority: 1,
        weight: 5,
        port: 8080,
        host: "a.example".into(),
    };
    let expected = Reply::Found(vec![Data::Service(service)], Duration::from_secs(8));
    assert_eq!(answer.read_for(name, Kind::Srv), Ok(expected));
}

#[test]
fn nothing_refusals_and_failures() {
    let check = |flags: u16, authority: Vec<Vec<u8>>, expected: Reply| {
        let answer = Answer {
            flags,
            authority,
            ..Answer::default()
        };
        assert_eq!(answer.read(), Ok(expected), "{flags:x}");
    };
    let nothing = |exists: bool, ttl: Option<u64>| Reply::Nothing {
        exists,
        ttl: ttl.map(Duration::from_secs),
    };
    check(0x8180, vec![soa(60, 9)], nothing(true, Some(9)));
    check(0x8183, vec![soa(7, 900)], nothing(false, Some(7)));
    check(0x8183, vec![], nothing(false, None));
    check(0x8182, vec![], Reply::Failed);
    check(0x8185, vec![], Reply::Refused);
    check(0x8181, vec![], Reply::NotUnderstood);
    check(0x8184, vec![], Reply::NotUnderstood);
    // What was cut off is not looked at.
    check(0x8380, vec![soa(7, 900)], Reply::Truncated);
}

#[test]
fn what_answers_something_else_is_no_answer() {
    let a = || vec![record("app.example", A, 30, &[10, 0, 0, 1])];
    let check = |answer: Answer| assert_eq!(answer.read(), Err(NotAnswered::Other));
    check(Answer {
        number: 8,
        answers: a(),
        ..Answer::default()
    });
    check(Answer {
        flags: 0x0100,
        answers: a(),
        ..Answer::default()
    });
    check(Answer {
        flags: 0xa980,
        answers: a(),
        ..Answer::default()
    });
    check(Answer {
        question: Some(("app2.example", A)),
        answers: a(),
        ..Answer::default()
    });
    check(Answer {
        question: Some(("app.example", AAAA)),
        answers: a(),
        ..Answer::default()
    });
    check(Answer {
        question: None,
        answers: a(),
        ..Answer::default()
    });
    // Whose question repeats the name in other letters is the same.
    let loud = Answer {
        question: Some(("APP.EXAMPLE", A)),
        answers: a(),
        ..Answer::default()
    };
    assert_eq!(loud.read(), found(&["10.0.0.1"], 30));
}

#[test]
fn whatever_is_cut_off_or_turned_never_panics() {
    let mut data = [0, 1, 0, 5, 0x1f, 0x90].to_vec();
    data.extend(encoded("a.example"));
    let answer = Answer {
        answers: vec![
            record("app.example", CNAME, 9, &encoded("b.example")),
            record("b.example", A, 9, &[10, 0, 0, 1]),
            record("b.example", SRV, 9, &data),
        ],
        authority: vec![soa(60, 9)],
        ..Answer::default()
    };
    let whole = answer.bytes();
    let asked = Question::new("app.example", Kind::A).unwrap();
    for length in 0..whole.len() {
        let cut = whole.get(..length).unwrap();
        let end_of_answers = read(cut, 7, &asked);
        assert!(length < 12 || end_of_answers != found(&["10.0.0.2"], 9));
    }
    for place in 0..whole.len() {
        for turned in [0x00, 0x01, 0x3f, 0x80, 0xc0, 0xff] {
            let mut bytes = whole.clone();
            *bytes.get_mut(place).unwrap() = turned;
            let _ = read(&bytes, 7, &asked);
        }
    }
    // A name that points to itself.
    let mut bytes = whole.clone();
    bytes.splice(12..14, [0xc0, 12]);
    assert!(read(&bytes, 7, &asked).is_err());
}
