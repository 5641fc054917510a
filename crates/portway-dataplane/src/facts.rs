//! What an exchange and a connection know alike: what of it is the connection's, the worker's and the plane's.

/// The methods of [`Facts`](portway_core::evaluate::Facts) that only ask `self.connection`.
macro_rules! facts_of_connection {
    () => {
        fn listener_name(&self) -> Option<&str> {
            self.connection.listener_name()
        }

        fn listener_connections(&self) -> Option<u32> {
            self.connection.listener_connections()
        }

        fn proxy_received(&self) -> Option<bool> {
            Some(self.connection.behind_proxy)
        }

        fn proxied(&self) -> Option<Parts<'_>> {
            self.connection.proxied()
        }

        fn tls(&self) -> Option<TlsFacts<'_>> {
            self.connection.tls_facts()
        }

        fn certificate(&self, whose: Whose, field: &CertificateField) -> Fetched<'_> {
            match whose {
                Whose::Client => self.connection.certificate(field),
                Whose::Shown => self.connection.shown_certificate(field),
                Whose::Target => {
                    let tls = self.target_details();
                    let certificate = tls.and_then(|tls| tls.certificate.as_deref());
                    peer_certificate::field(certificate, field)
                }
            }
        }

        fn target_tls(&self) -> Option<TlsFacts<'_>> {
            self.target_details().map(TlsDetails::facts)
        }

        fn hostname(&self) -> Option<&str> {
            let hostname = &self.connection.generation.plane.machine.hostname;
            Some(hostname.as_str()).filter(|name| !name.is_empty())
        }

        fn environment(&self, name: &str) -> Option<&str> {
            let environment = &self.connection.generation.plane.machine.environment;
            environment.get(name).map(String::as_str)
        }

        fn stick_table(&self, table: StickTableId) -> Option<&Table> {
            self.connection.generation.plane.table(table)
        }

        fn stick_time(&self) -> u64 {
            track::now()
        }

        fn lookup(&self, map: MapId, key: &[u8]) -> Option<Cow<'_, [u8]>> {
            let plane = &self.connection.generation.plane;
            plane.lookup(map, key)
        }

        fn verifies(
            &self,
            algorithm: portway_model::jwt::JwtAlgorithm,
            file: &[u8],
            signed: &[u8],
            signature: &[u8],
        ) -> Option<bool> {
            let keys = &self.connection.generation.plane.keys;
            keys.verifies(algorithm, file, signed, signature)
        }

        fn lookup_groups(&self, map: MapId, key: &[u8]) -> Option<Vec<u8>> {
            let plane = &self.connection.generation.plane;
            plane.maps.get(map.index())?.find_groups(key)
        }

        fn clock_offset(&self, at: i64) -> i32 {
            self.connection.generation.plane.zone.offset(at)
        }

        fn worker(&self) -> Option<u32> {
            Some(self.connection.worker.number())
        }

        fn draining(&self) -> Option<bool> {
            Some(self.connection.worker.is_draining())
        }

        fn now_microseconds(&self) -> Option<i64> {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .ok()?;
            i64::try_from(now.as_micros()).ok()
        }

        fn of_group(&self, figure: GroupFigure, group: GroupId) -> Option<i64> {
            self.connection.generation.of_group(figure, group)
        }

        fn listener_connection_rate(&self) -> Option<u64> {
            self.connection.listener_connection_rate()
        }

        fn listener_request_rate(&self) -> Option<u64> {
            self.connection.listener_request_rate()
        }

        fn of_listener(&self, figure: ListenerFigure, listener: ListenerId) -> Option<i64> {
            self.connection
                .generation
                .plane
                .of_listener(figure, listener)
        }

        fn of_target(&self, figure: TargetFigure, group: GroupId, target: &str) -> Fetched<'_> {
            self.connection.generation.of_target(figure, group, target)
        }

        fn healthy_targets_of(&self, group: &[u8]) -> Option<u32> {
            let generation = &self.connection.generation;
            generation.healthy_targets(generation.plane.group_named(group)?)
        }

        fn queued_at(&self, target: &[u8]) -> Option<u32> {
            let at = target.iter().position(|byte| *byte == b'/')?;
            let (group, target) = (target.get(..at)?, target.get(at + 1..)?);
            let generation = &self.connection.generation;
            let group = generation.plane.group_named(group)?;
            let target = std::str::from_utf8(target).ok()?;
            let queued = generation.of_target(TargetFigure::Queued, group, target);
            queued
                .number()
                .and_then(|queued| u32::try_from(queued).ok())
        }

        fn healthy_targets(&self, group: GroupId) -> Option<u32> {
            self.connection.generation.healthy_targets(group)
        }

        fn group_connections(&self, group: GroupId) -> Option<u32> {
            self.connection.generation.group_connections(group)
        }

        fn random(&self) -> Option<u64> {
            Some(self.connection.worker.random())
        }

        fn now(&self) -> Option<i64> {
            self.now_microseconds().map(|now| now / 1_000_000)
        }
    };
}

pub(crate) use facts_of_connection;
