//! What a reload would change of what is at work now: by the files of the process, or by a configuration that somebody else has
//! read. Nothing is opened but what a reload reads before anything changes, and nothing changes. Addresses are tried, and nobody listens there.

use std::sync::Arc;

use portway_model::diagnostic::Diagnostics;
use portway_model::snapshot::Snapshot;
use portway_model::span::Sources;

use crate::bind::{self, Neighbour};
use crate::files::Record;
use crate::plan::Plan;
use crate::reload::{Finding, findings, look, plan, read};
use crate::running::Running;
use crate::sources::{Compiled, compile_text};

/// What the command line makes of a configuration, whatever its files say.
pub type Adjust = Arc<dyn Fn(&mut Snapshot) + Send + Sync>;

/// What a reload would do.
#[derive(Debug)]
pub struct Planned {
    /// What would change; `None`: the configuration has errors, and nothing would.
    pub plan: Option<Plan>,
    /// The number of the configuration at work.
    pub generation: u64,
    /// What was found.
    pub found: Vec<Finding>,
}

impl Running {
    /// What `portway reload` would change now.
    pub async fn plan_reload(&self) -> Planned {
        let (reader, tickets) = {
            let changing = self.changing.lock().await;
            (changing.reader(), changing.tickets().clone())
        };
        let record = Record::default();
        let Compiled {
            snapshot,
            sources,
            mut diagnostics,
            ..
        } = read(reader, &record).await;
        let Some(snapshot) = snapshot else {
            return self.planned(None, &diagnostics, &sources);
        };
        let shared = Arc::new(sources.clone());
        let plan = match look(snapshot, &shared, &tickets, &record).await {
            Ok((snapshot, loaded, mut found)) => {
                let plan = plan(&self.statistics.installed(), &snapshot, &loaded);
                if !found.has_errors() {
                    found.extend(self.taken(snapshot).await);
                }
                let is_good = !found.has_errors();
                diagnostics.extend(found);
                is_good.then_some(plan)
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        };
        self.planned(plan, &diagnostics, &sources)
    }

    /// Addresses of a configuration that a reload could not listen on.
    async fn taken(&self, snapshot: Snapshot) -> Diagnostics {
        let held = self.changing.lock().await.held().clone();
        let check = move || bind::check_listeners(&snapshot, &Neighbour::None, &held);
        // Whoever has panicked has told of it.
        tokio::task::spawn_blocking(check).await.unwrap_or_default()
    }

    /// What would change if a reload found this, in the native form. No file is read: of those that it names, only the names
    /// are compared.
    pub async fn plan_of(&self, text: String) -> Planned {
        let adjust = self.changing.lock().await.adjust();
        let before = self.statistics.installed();
        let compare = move || {
            let mut compiled = compile_text("the new configuration", &text);
            let plan = compiled.snapshot.as_mut().map(|snapshot| {
                if let Some(adjust) = adjust {
                    adjust(snapshot);
                }
                Plan::between(&before.plane.snapshot, snapshot)
            });
            (plan, compiled.diagnostics, compiled.sources)
        };
        match tokio::task::spawn_blocking(compare).await {
            Ok((plan, found, sources)) => self.planned(plan, &found, &sources),
            Err(_) => self.planned(None, &Diagnostics::default(), &Sources::default()),
        }
    }

    fn planned(&self, plan: Option<Plan>, found: &Diagnostics, sources: &Sources) -> Planned {
        Planned {
            plan,
            generation: self.statistics.installed().generation,
            found: findings(found, sources),
        }
    }
}
