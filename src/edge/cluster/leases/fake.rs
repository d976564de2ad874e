//! Leases in memory, as the API server keeps them, and the ways in which a client's calls go wrong.

use std::sync::{Arc, Mutex};

use super::*;

/// What happens to the calls of one client.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Weather {
    /// They are answered.
    #[default]
    Fair,
    /// They are answered with this.
    Answer(ClusterError),
    /// Writes are carried out, and their answer is lost.
    LosesAnswers,
    /// They are not answered.
    Silence,
}

#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    transitions: Vec<String>,
}

/// One client of a server that several share.
#[derive(Clone, Default)]
pub struct FakeLeases {
    server: Arc<Mutex<Server>>,
    weather: Arc<Mutex<Weather>>,
}

impl FakeLeases {
    /// Returns another client of the same server.
    pub fn beside(&self) -> Self {
        Self {
            server: self.server.clone(),
            weather: Arc::default(),
        }
    }

    /// Changes what happens to this client's calls.
    pub fn turn(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Deletes the Lease, as a person does.
    pub fn delete(&self) {
        self.server.lock().unwrap().lease = None;
    }

    /// Returns what the Lease says now.
    pub fn record(&self) -> LeaseRecord {
        let lease = self.server.lock().unwrap().lease.clone();
        StoredLease::read(lease.unwrap_or_default()).record
    }

    /// Returns every holder that was written, without repetitions in a row.
    pub fn holders(&self) -> Vec<String> {
        let mut holders = self.server.lock().unwrap().transitions.clone();
        holders.retain(|holder| !holder.is_empty());
        holders.dedup();
        holders
    }

    async fn call<T>(
        &self,
        is_read: bool,
        act: impl FnOnce(&mut Server) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let weather = self.weather.lock().unwrap().clone();
        match weather {
            Weather::LosesAnswers if is_read => act(&mut self.server.lock().unwrap()),
            Weather::Fair => act(&mut self.server.lock().unwrap()),
            Weather::Answer(error) => Err(error),
            Weather::LosesAnswers => {
                drop(act(&mut self.server.lock().unwrap()));
                std::future::pending().await
            }
            Weather::Silence => std::future::pending().await,
        }
    }
}

impl Server {
    fn store(&mut self, mut object: Value) -> StoredLease {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let stored = StoredLease::read(object.clone());
        self.transitions.push(stored.record.holder.clone());
        self.lease = Some(object);
        stored
    }
}

#[async_trait]
impl Leases for FakeLeases {
    async fn get_lease(&self, _: &str, _: &str) -> Result<Option<StoredLease>, ClusterError> {
        let is_read = true;
        let read = |server: &mut Server| Ok(server.lease.clone().map(StoredLease::read));
        self.call(is_read, read).await
    }

    async fn create_lease(
        &self,
        _: &str,
        _: &str,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError> {
        let mut object = json!({"metadata": {"uid": "u"}});
        write(&mut object, record);
        self.call(false, |server| match server.lease {
            Some(_) => Err(ClusterError::AlreadyExists),
            None => Ok(server.store(object)),
        })
        .await
    }

    async fn update_lease(
        &self,
        seen: &StoredLease,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError> {
        let object = seen.with(record);
        self.call(false, |server| {
            let is_same = server.lease.as_ref().is_some_and(|lease| {
                lease["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"]
            });
            match is_same {
                true => Ok(server.store(object)),
                false => Err(ClusterError::Conflict("it was modified".to_owned())),
            }
        })
        .await
    }
}
