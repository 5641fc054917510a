//! Certificates, keys, CAs and revocation lists of the configuration at work, read again alone: whatever state its texts are in.
//!
//! For whoever has renewed a certificate and must not put to work what somebody else is writing at that moment. It is the way of a
//! reload ([`crate::reload`]) with the configuration that is at work already: all or nothing, and tickets and sessions go on.

use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use portway_model::diagnostic::Diagnostics;
use portway_model::snapshot::Snapshot;
use portway_model::span::Sources;
use rustls_pki_types::UnixTime;

use crate::certificates;
use crate::change::Changing;
use crate::figures::Installed;
use crate::files::Record;
use crate::install::Loaded;
use crate::maps::MapSets;
use crate::reload::{Done, NotReloaded, Reloaded, on_a_thread, unread};
use crate::running::Running;

impl Running {
    /// Reads the certificates of the configuration at work again, and all else that TLS is spoken with. `by`: what asks, for the
    /// log.
    ///
    /// # Errors
    /// Everything that stands in the way; nothing has changed then.
    pub async fn reload_certificates(&self, by: &str) -> Result<Reloaded, NotReloaded> {
        let turn = self.turn().await;
        let mut changing = turn.map_err(|process| self.left_to(process))?;
        let begun = (SystemTime::now(), Instant::now());
        let before = self.statistics.installed();
        let sources = before.plane.sources.clone();
        let record = Record::default();
        let done = self.recertify(&before, &mut changing, &record).await;
        let (done, found) = match done {
            Ok(mut done) => {
                let found = std::mem::take(&mut done.found);
                (Some(done), found)
            }
            Err(found) => (None, found),
        };
        {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            *files = files.renewed(&record.files());
        }
        self.ended(by, begun, done, (found, Sources::clone(&sources)))
    }

    async fn recertify(
        &self,
        before: &Arc<Installed>,
        changing: &mut Changing,
        record: &Record,
    ) -> Result<Done, Diagnostics> {
        let plane = &before.plane;
        let (snapshot, sources) = (plane.snapshot.clone(), plane.sources.clone());
        let (tickets, noting) = (changing.tickets().clone(), record.clone());
        let read = on_a_thread(move || {
            noting.during(|| certificates::load(&snapshot, &sources, &tickets, UnixTime::now()))
        });
        let (tls, found) = read.await.map_err(|message| unread(message).diagnostics)?;
        if found.has_errors() {
            return Err(found);
        }
        let loaded = Loaded {
            tls,
            answers: plane.answers.clone(),
            maps: MapSets::clone(&before.maps),
            keys: before.keys.clone(),
            files: before.files.renewed(&record.files()),
        };
        let next = (Snapshot::clone(&plane.snapshot), loaded, before.generation);
        self.put_to_work(next, &plane.sources, changing, found)
            .await
    }
}
