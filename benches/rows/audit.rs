//! Requests as the API server itself counts them, in the audit log of the cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::world::variable;

/// An answer is sent before its line is written.
const SETTLE: Duration = Duration::from_millis(500);

/// The log from one moment on.
pub struct Audit {
    log: BufReader<File>,
}

impl Audit {
    /// Begins to count once what was sent before is written; `None` where the cluster keeps no log.
    pub fn begin() -> Result<Option<Self>> {
        let Some(path) = variable("PLATFORM_TEST_AUDIT") else {
            return Ok(None);
        };
        std::thread::sleep(SETTLE);
        let mut file = File::open(path).context("open the audit log")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Some(Self {
            log: BufReader::new(file),
        }))
    }

    /// Returns the requests since, by verb and resource, that a client of ours sent to a namespace: controllers and
    /// nodes have names that begin with `system:`, the scheduler and its like name their program. Watches, and the leases
    /// that say who writes, are not counted.
    pub fn requests(self, namespace: &str) -> Result<BTreeMap<String, usize>> {
        std::thread::sleep(SETTLE);
        let mut requests: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.log.lines() {
            let event: Value = serde_json::from_str(&line?).context("read the audit log")?;
            let user = event["user"]["username"].as_str().unwrap_or_default();
            let program = event["userAgent"].as_str().unwrap_or_default();
            let is_of_cluster = user.starts_with("system:") || program.starts_with("kube-");
            let is_there = event["objectRef"]["namespace"] == namespace
                || event["objectRef"]["name"] == namespace;
            let is_counted = event["verb"] != "watch" && event["objectRef"]["resource"] != "leases";
            if is_there && is_counted && !is_of_cluster && event["stage"] == "ResponseComplete" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let resource = text(&event["objectRef"]["resource"]);
                let what = format!("{} {resource} by {user}", text(&event["verb"]));
                *requests.entry(what).or_default() += 1;
            }
        }
        Ok(requests)
    }
}
