//! Events in memory.

use std::sync::Mutex;

use super::*;

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An event that was made: what it is about, and its reason.
    Made(String, String),
    /// How often one happened.
    Repeated(String, u32),
}

/// Takes events, or answers with an error.
#[derive(Default)]
pub struct FakeEvents {
    told: Mutex<Vec<Told>>,
    fault: Mutex<Option<ClusterError>>,
}

impl FakeEvents {
    /// Has every call answered with this.
    pub fn fail(&self, fault: Option<ClusterError>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Takes what was told.
    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn tell(&self, told: Told) -> Result<(), ClusterError> {
        match self.fault.lock().unwrap().clone() {
            Some(fault) => Err(fault),
            None => {
                self.told.lock().unwrap().push(told);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Events for FakeEvents {
    async fn create_event(&self, event: &EventRecord) -> Result<(), ClusterError> {
        let about = event.regarding.name.clone();
        self.tell(Told::Made(about, event.reason.clone()))
    }

    async fn repeat_event(
        &self,
        event: &EventRecord,
        count: u32,
        _: Timestamp,
    ) -> Result<(), ClusterError> {
        self.tell(Told::Repeated(event.reason.clone(), count))
    }
}
