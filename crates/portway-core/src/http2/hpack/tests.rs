//! Blocks as RFC 7541 has them, blocks that are wrong, and any at all.

use super::{Decoder, Fault, begin, field, huffman, integer, status};
use proptest::prelude::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Fault> {
    let mut fields = Vec::new();
    decoder.decode(block, usize::MAX, |name, value| {
        fields.push((name.to_vec(), value.to_vec()))
    })?;
    Ok(fields)
}

fn lines(fields: &Fields) -> Vec<String> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    let line = |(name, value): &(Vec<u8>, Vec<u8>)| format!("{}: {}", text(name), text(value));
    fields.iter().map(line).collect()
}

/// RFC 7541 appendix C: rows of blocks for one decoder, and what each says.
#[test]
fn the_examples() {
    let requests = [
        ":method: GET|:scheme: http|:path: /|:authority: www.example.com",
        ":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache",
        ":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value",
    ];
    let responses = [
        ":status: 302|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com",
        ":status: 307|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com",
        ":status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT|location: https://www.example.com|content-encoding: gzip|set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];
    let single = |block, line: &'static str| (4096, vec![(block, line)]);
    let rows = |size, blocks: [&'static str; 3], lines: [&'static str; 3]| {
        (size, blocks.into_iter().zip(lines).collect::<Vec<_>>())
    };
    for (size, blocks) in [
        single(
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            "custom-key: custom-header",
        ),
        single("040c2f73616d706c652f70617468", ":path: /sample/path"),
        single("100870617373776f726406736563726574", "password: secret"),
        single("82", ":method: GET"),
        rows(
            4096,
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            requests,
        ),
        rows(
            4096,
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            requests,
        ),
        // With a table of 256 bytes, out of which entries fall.
        rows(
            256,
            [
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                "4803333037c1c0bf",
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
            ],
            responses,
        ),
        rows(
            256,
            [
                "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
                "4883640effc1c0bf",
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ],
            responses,
        ),
    ] {
        let mut decoder = Decoder::new(size);
        for (block, expected) in blocks {
            let fields = decode(&mut decoder, &hex(block)).unwrap();
            assert_eq!(lines(&fields).join("|"), expected, "{block}");
        }
    }
}

#[test]
fn what_is_wrong() {
    for (block, expected) in [
        // An index that is none, and one of a table that is empty.
        ("80", Fault::Index),
        ("be", Fault::Index),
        ("7f01 01 61", Fault::Index),
        // Ends in the middle: of a number, a name, a value.
        ("ff", Fault::Truncated),
        ("7f", Fault::Truncated),
        ("40 03 6161", Fault::Truncated),
        ("40 01 61", Fault::Truncated),
        ("40 01 61 02 62", Fault::Truncated),
        // A number of more than 24 bits, and one with zeros in front without end.
        ("ffffffffff0f", Fault::Number),
        ("ff8080808000", Fault::Number),
        // The end of strings within one; padding of a byte, and one with zeros.
        ("40 84ffffffff 00", Fault::Coding),
        ("40 821fff 00", Fault::Coding),
        ("40 8118 00", Fault::Coding),
        ("40 811f 00 82 80", Fault::Index),
        // A table that is larger than allowed, and a size behind a field.
        ("3fe21f", Fault::TableSize),
        ("8220", Fault::TableSize),
    ] {
        let decoded = decode(&mut Decoder::new(4096), &hex(block));
        assert_eq!(decoded, Err(expected), "{block}");
    }
    // Sizes in front of the fields are as they should be, several of them too.
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &hex("20 3fe11f 82")).unwrap().len(), 1);
}

#[test]
fn entries_that_do_not_fit() {
    let mut decoder = Decoder::new(100);
    // `a: b` counts 34, so that two of them fit.
    for _ in 0..3 {
        decode(&mut decoder, &hex("40 01 61 01 62")).unwrap();
    }
    assert_eq!(
        lines(&decode(&mut decoder, &hex("be bf")).unwrap()),
        ["a: b", "a: b"]
    );
    assert_eq!(decode(&mut decoder, &hex("c0")), Err(Fault::Index));
    // What is larger than the table empties it.
    let large = [hex("40 01 61 3c"), vec![b'x'; 60]].concat();
    assert_eq!(decode(&mut decoder, &large).unwrap().len(), 1);
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap().len(), 1);
    let larger = [hex("40 01 61 45"), vec![b'x'; 69]].concat();
    assert_eq!(decode(&mut decoder, &larger).unwrap().len(), 1);
    assert_eq!(decode(&mut decoder, &hex("be")), Err(Fault::Index));
}

#[test]
fn numbers() {
    // RFC 7541 appendix C.1.
    for (number, prefix, bytes) in [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a")] {
        let mut out = Vec::new();
        integer::write(number, prefix, 0, &mut out);
        assert_eq!(out, hex(bytes));
        assert_eq!(integer::read(&out, prefix), Ok((number, &[][..])));
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z0-9:/=; -]{0,60}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

/// How a field is written: in which of the ways that put it into the table or not, coded or not.
type Written = (Vec<u8>, Vec<u8>, u8, [bool; 2]);

fn write((name, value, how, coded): &Written, out: &mut Vec<u8>) {
    out.push(how & 0x50);
    for (text, coded) in [name, value].into_iter().zip(coded) {
        let mut bytes = text.clone();
        if *coded {
            bytes.clear();
            huffman::encode(text, &mut bytes);
        }
        integer::write(bytes.len(), 7, u8::from(*coded) << 7, out);
        out.extend(bytes);
    }
}

proptest! {
    #[test]
    fn numbers_there_and_back(number in 0_usize..1 << 24, prefix in 1_u32..=8, rest: Vec<u8>) {
        let mut out = Vec::new();
        integer::write(number, prefix, 0, &mut out);
        out.extend(&rest);
        prop_assert_eq!(integer::read(&out, prefix), Ok((number, rest.as_slice())));
    }

    #[test]
    fn strings_there_and_back(text: Vec<u8>) {
        let (mut coded, mut decoded) = (Vec::new(), Vec::new());
        huffman::encode(&text, &mut coded);
        huffman::decode(&coded, &mut decoded).unwrap();
        prop_assert_eq!(decoded, text);
    }

    #[test]
    fn fields_there_and_back(
        blocks in proptest::collection::vec(
            proptest::collection::vec((bytes(), bytes(), prop_oneof![Just(0_u8), Just(0x10), Just(0x40)], any::<[bool; 2]>()), 0..20),
            1..6,
        ),
        size in 0_usize..4096,
    ) {
        let mut decoder = Decoder::new(size);
        // What is in the table, the newest first.
        let mut table: Fields = Vec::new();
        for block in blocks {
            let mut out = Vec::new();
            let mut expected = Vec::new();
            for written in &block {
                write(written, &mut out);
                let (name, value, how, _) = written;
                let field = (name.clone(), value.clone());
                expected.push(field.clone());
                if *how == 0x40 {
                    table.insert(0, field);
                    let mut sum = 0;
                    table.retain(|(name, value)| {
                        sum += name.len() + value.len() + 32;
                        sum <= size
                    });
                }
            }
            // Each entry of the table once more by its index.
            for (at, field) in table.iter().enumerate() {
                integer::write(62 + at, 7, 0x80, &mut out);
                expected.push(field.clone());
            }
            prop_assert_eq!(decode(&mut decoder, &out), Ok(expected));
        }
    }

    #[test]
    fn what_we_send_is_read(
        code in 100_u16..1000, fields in proptest::collection::vec((bytes(), bytes(), any::<bool>()), 0..20),
    ) {
        let mut out = Vec::new();
        begin(&mut out);
        status(code, &mut out);
        let mut expected = vec![(b":status".to_vec(), code.to_string().into_bytes())];
        for (name, value, secret) in fields {
            field(&name, &value, secret, &mut out);
            expected.push((name, value));
        }
        prop_assert_eq!(decode(&mut Decoder::new(0), &out), Ok(expected));
    }

    #[test]
    fn nothing_panics(blocks: Vec<Vec<u8>>) {
        let mut decoder = Decoder::new(256);
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
        }
    }
}

/// A byte may stand for a whole entry of the table: what is read of a block is bounded, not only what comes.
#[test]
fn a_block_is_no_larger_than_is_read() {
    let entry = "x".repeat(1000);
    let mut block = Vec::new();
    block.extend(hex("40 01 61"));
    block.extend([0x7F, 0xE9, 0x06]);
    block.extend(entry.as_bytes());
    let mut heard = 0;
    let mut decoder = Decoder::new(4096);
    decoder.decode(&block, 1001, |_, _| heard += 1).unwrap();
    block = vec![0xBE; 10];
    let read = decoder.decode(&block, 5005, |_, _| heard += 1);
    assert_eq!((heard, read), (6, Err(Fault::TooLarge)));
}
