//! Ticket keys.

use proptest::prelude::*;

use super::super::tickets::{MAX_TICKET_BYTES, TicketKeyError, TicketKeys};
use super::{NOW, TestClock};

#[test]
fn keys_rotate_and_tickets_live_twelve_hours() {
    let clock = TestClock::new();
    let keys = TicketKeys::new(clock.clone()).unwrap();
    let tickets = keys.scoped("web");
    assert!(tickets.enabled());
    assert_eq!(tickets.lifetime(), 12 * 3600);
    let name = |ticket: &[u8]| ticket[..16].to_vec();

    let first = tickets.encrypt(b"first").unwrap();
    clock.advance(7);
    let last_of_first = tickets.encrypt(b"last").unwrap();
    assert_eq!(name(&first), name(&last_of_first));
    clock.advance(1);
    let second = tickets.encrypt(b"second").unwrap();
    assert_ne!(name(&first), name(&second));
    assert_eq!(tickets.decrypt(&first).unwrap(), b"first");
    // Hour 16: a third key; the first one opens until hour 20.
    clock.advance(8);
    let third = tickets.encrypt(b"third").unwrap();
    assert_ne!(name(&second), name(&third));
    assert_eq!(tickets.decrypt(&last_of_first).unwrap(), b"last");
    clock.advance(3);
    assert_eq!(
        tickets.decrypt(&last_of_first).unwrap(),
        b"last",
        "twelve hours after it was made"
    );
    clock.advance(1);
    assert_eq!(tickets.decrypt(&last_of_first), None);
    assert_eq!(tickets.decrypt(&second).unwrap(), b"second");
    clock.advance(1000);
    assert_eq!(tickets.decrypt(&third), None);
    keys.rotate_if_due();
    assert_eq!(keys.export().len(), 5 + 56, "the old secrets are gone");
}

#[test]
fn keys_are_taken_over_by_another_process() {
    let clock = TestClock::new();
    let old = TicketKeys::new(clock.clone()).unwrap();
    let first = old.scoped("web").encrypt(b"first").unwrap();
    clock.advance(9);
    let second = old.scoped("web").encrypt(b"second").unwrap();

    let new = TicketKeys::new(clock.clone()).unwrap();
    assert_eq!(new.scoped("web").decrypt(&first), None);
    new.import(&old.export()).unwrap();
    assert_eq!(new.scoped("web").decrypt(&first).unwrap(), b"first");
    assert_eq!(new.scoped("web").decrypt(&second).unwrap(), b"second");
    let of_new = new.scoped("web").encrypt(b"third").unwrap();
    assert_eq!(old.scoped("web").decrypt(&of_new).unwrap(), b"third");

    for wrong in [&b""[..], b"PWTK\x02", b"PWTK\x01x", &[b'x'; 61]] {
        assert_eq!(new.import(wrong), Err(TicketKeyError::NotKeys));
    }
    let cut = &old.export()[..60];
    assert_eq!(new.import(cut), Err(TicketKeyError::NotKeys));
    // Keys past their time are not taken, and ours stay.
    let stale = old.export();
    clock.advance(1000);
    let fresh = TicketKeys::new(clock).unwrap();
    let ticket = fresh.scoped("web").encrypt(b"x").unwrap();
    fresh.import(&stale).unwrap();
    assert_eq!(fresh.scoped("web").decrypt(&ticket).unwrap(), b"x");
}

#[test]
fn scopes_do_not_mix() {
    let keys = TicketKeys::new(TestClock::new()).unwrap();
    let ticket = keys
        .scoped("with client certificates")
        .encrypt(b"x")
        .unwrap();
    assert_eq!(keys.scoped("without").decrypt(&ticket), None);
    assert_eq!(
        keys.scoped("with client certificates")
            .decrypt(&ticket)
            .unwrap(),
        b"x"
    );
}

#[test]
fn no_session_is_resumed_once_what_it_was_judged_by_is_over() {
    let clock = TestClock::new();
    let keys = TicketKeys::new(clock.clone()).unwrap();
    let until = u64::try_from(NOW).unwrap() + 3600;
    let resumption = keys.resumption("web", Some(until));
    let ticket = resumption.tickets.encrypt(b"x").unwrap();
    let id = vec![1; 32];
    assert!(resumption.by_id.put(id.clone(), b"y".to_vec()));
    let resumed = || {
        (
            resumption.tickets.decrypt(&ticket).is_some(),
            resumption.by_id.get(&id).is_some(),
        )
    };
    assert_eq!(resumed(), (true, true));
    clock.advance(1);
    assert_eq!(resumed(), (false, false));
    // Who is judged by what goes on is resumed still.
    let other = keys.resumption("web", None);
    assert!(other.tickets.decrypt(&ticket).is_some());
}

#[test]
fn tickets_have_a_largest_size() {
    let tickets = TicketKeys::new(TestClock::new()).unwrap().scoped("");
    let largest = MAX_TICKET_BYTES - 16 - 12 - 32 - 16;
    let ticket = tickets.encrypt(&vec![1; largest]).unwrap();
    assert_eq!(ticket.len(), MAX_TICKET_BYTES);
    assert_eq!(tickets.decrypt(&ticket).unwrap().len(), largest);
    assert_eq!(tickets.encrypt(&vec![1; largest + 1]), None);
    assert_eq!(tickets.decrypt(&vec![1; MAX_TICKET_BYTES + 1]), None);
}

proptest! {
    #[test]
    fn only_whole_tickets_open(plain in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let tickets = TicketKeys::new(TestClock::new()).unwrap().scoped("web");
        let mut ticket = tickets.encrypt(&plain).unwrap();
        prop_assert_eq!(tickets.decrypt(&ticket), Some(plain));
        prop_assert_eq!(tickets.decrypt(&ticket[..at.index(ticket.len())]), None);
        let at = at.index(ticket.len());
        ticket[at] ^= 1 << bit;
        prop_assert_eq!(tickets.decrypt(&ticket), None);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = TicketKeys::new(TestClock::new()).unwrap();
        prop_assert_eq!(keys.scoped("web").decrypt(&bytes), None);
        let _ = keys.import(&bytes);
    }
}
