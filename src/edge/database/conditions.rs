//! Conditions of challenges: all are read at once, and those that changed are written in one transaction.
//!
//! They are what one process found, not what is declared: no turn to write is needed for them, only the token of the
//! newest one, which whoever no longer leads does not have.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::DatabaseError;
use super::passes::{fitted, stamp};
use super::store::{Access, Call, Engine, Store};
use crate::model::condition::{
    AllConditions, ChallengeCondition, ConditionType, Conditions, Progress,
};
use crate::model::{FenceToken, Slug};

/// The conditions that the database keeps.
#[async_trait]
pub trait ConditionRows: Send + Sync {
    /// Returns the conditions of every challenge that has any.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can name; there is no partial answer.
    async fn conditions(&self) -> Result<AllConditions, DatabaseError>;

    /// Makes or replaces the conditions of these challenges, and deletes those of the ones that are gone.
    ///
    /// # Errors
    /// Another turn has begun, or the database did not answer; nothing was written.
    async fn write_conditions(
        &self,
        token: FenceToken,
        changed: &AllConditions,
        gone: &BTreeSet<Slug>,
    ) -> Result<(), DatabaseError>;
}

/// The SQL about conditions.
pub(super) struct ConditionStatements {
    /// No argument; gives `[slug, type, condition]`.
    pub(super) read: &'static str,
    /// No argument; gives `[slug, progress]`.
    pub(super) read_progress: &'static str,
    /// A list of slugs.
    pub(super) clear: &'static str,
    /// A list of slugs.
    pub(super) clear_progress: &'static str,
    /// A list of conditions.
    pub(super) write: &'static str,
    /// A list of progress.
    pub(super) write_progress: &'static str,
}

#[cfg(test)]
impl ConditionStatements {
    pub(super) fn all(&self) -> [&'static str; 6] {
        let Self {
            read,
            read_progress,
            clear,
            clear_progress,
            write,
            write_progress,
        } = self;
        [
            read,
            read_progress,
            clear,
            clear_progress,
            write,
            write_progress,
        ]
    }
}

pub(super) const SQLITE: ConditionStatements = ConditionStatements {
    read: "
        select json_array(slug, type, json_object('status', status, 'reason', reason,
            'message', message, 'since', since, 'revision', revision))
        from challenge_conditions order by slug, type limit 60001",
    read_progress: "
        select json_array(slug, json_object('left', keys_left, 'at', moved_at))
        from challenge_progress order by slug limit 10001",
    clear: "
        delete from challenge_conditions where slug in (select value from json_each(?1))",
    clear_progress: "
        delete from challenge_progress where slug in (select value from json_each(?1))",
    write: "
        insert into challenge_conditions (slug, type, status, reason, message, since, revision)
        select e.value ->> 'slug', e.value ->> 'type', e.value ->> 'status', e.value ->> 'reason',
            e.value ->> 'message', e.value ->> 'since', e.value ->> 'revision'
        from json_each(?1) as e",
    write_progress: "
        insert into challenge_progress (slug, keys_left, moved_at)
        select e.value ->> 'slug', e.value ->> 'left', e.value ->> 'at' from json_each(?1) as e",
};

pub(super) const POSTGRES: ConditionStatements = ConditionStatements {
    read: r#"
        select json_build_array(slug, type, json_build_object('status', status, 'reason', reason,
            'message', message,
            'since', to_char(since at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'revision', revision))::text
        from challenge_conditions order by slug, type limit 60001"#,
    read_progress: r#"
        select json_build_array(slug, json_build_object('left', keys_left,
            'at', to_char(moved_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text
        from challenge_progress order by slug limit 10001"#,
    clear: "
        delete from challenge_conditions
        where slug in (select jsonb_array_elements_text($1::text::jsonb))",
    clear_progress: "
        delete from challenge_progress
        where slug in (select jsonb_array_elements_text($1::text::jsonb))",
    write: "
        insert into challenge_conditions (slug, type, status, reason, message, since, revision)
        select d ->> 'slug', d ->> 'type', d ->> 'status', d ->> 'reason', d ->> 'message',
            (d ->> 'since')::timestamptz, d ->> 'revision'
        from jsonb_array_elements($1::text::jsonb) as d
        on conflict (slug, type) do update set
            status = excluded.status, reason = excluded.reason, message = excluded.message,
            since = excluded.since, revision = excluded.revision",
    write_progress: "
        insert into challenge_progress (slug, keys_left, moved_at)
        select d ->> 'slug', (d ->> 'left')::bigint, (d ->> 'at')::timestamptz
        from jsonb_array_elements($1::text::jsonb) as d
        on conflict (slug) do update set
            keys_left = excluded.keys_left, moved_at = excluded.moved_at",
};

/// Rows of all challenges together: ten thousand of them, six conditions each.
const MAX_CONDITIONS: usize = 60_000;
const MAX_PROGRESS: usize = 10_000;

#[derive(Deserialize)]
struct ProgressRow {
    left: u32,
    at: Timestamp,
}

#[async_trait]
impl<E: Engine> ConditionRows for Store<E> {
    async fn conditions(&self) -> Result<AllConditions, DatabaseError> {
        let all = &self.engine.statements().conditions;
        let calls = [all.read, all.read_progress].map(|sql| Call::new(sql, Vec::new()));
        let doing = "reading the conditions";
        let answers = self.run(Access::Read, doing, calls.into()).await?;
        let [conditions, progress] = answers.as_slice() else {
            return Err(self.unreadable("the conditions".to_owned()));
        };
        if conditions.len() > MAX_CONDITIONS || progress.len() > MAX_PROGRESS {
            let what = format!("table challenge_conditions with over {MAX_CONDITIONS} rows");
            return Err(self.unreadable(what));
        }
        let what = "a row of table challenge_progress";
        let progress: BTreeMap<Slug, ProgressRow> =
            self.parse_all(what, progress)?.into_iter().collect();
        let what = "a row of table challenge_conditions";
        let rows: Vec<(Slug, ConditionType, ChallengeCondition)> =
            self.parse_all(what, conditions)?;
        let mut found = AllConditions::new();
        for (slug, of, condition) in rows {
            let progress = progress.get(&slug);
            let of_challenge = found.entry(slug).or_insert_with(|| Conditions {
                of: BTreeMap::new(),
                progress: progress.map(|&ProgressRow { left, at }| Progress { left, at }),
            });
            of_challenge.of.insert(of, condition);
        }
        Ok(found)
    }

    async fn write_conditions(
        &self,
        token: FenceToken,
        changed: &AllConditions,
        gone: &BTreeSet<Slug>,
    ) -> Result<(), DatabaseError> {
        let all = &self.engine.statements().conditions;
        let cleared: Vec<&Slug> = changed.keys().chain(gone).collect();
        let cleared = json!(cleared).to_string();
        let calls = vec![
            Call::new(all.clear, vec![cleared.clone()]),
            Call::new(all.clear_progress, vec![cleared]),
            Call::new(all.write, vec![condition_documents(changed).to_string()]),
            Call::new(
                all.write_progress,
                vec![progress_documents(changed).to_string()],
            ),
        ];
        self.write(token, "writing conditions", calls).await?;
        Ok(())
    }
}

fn condition_documents(changed: &AllConditions) -> Value {
    let documents = changed.iter().flat_map(|(slug, conditions)| {
        conditions.of.iter().map(move |(of, condition)| {
            json!({
                "slug": slug, "type": of, "status": condition.status,
                "reason": fitted(&condition.reason, 100),
                "message": fitted(&condition.message, 1000),
                "since": stamp(condition.since),
                "revision": fitted(&condition.revision, 100),
            })
        })
    });
    documents.collect()
}

fn progress_documents(changed: &AllConditions) -> Value {
    let documents = changed.iter().filter_map(|(slug, conditions)| {
        let Progress { left, at } = conditions.progress?;
        Some(json!({"slug": slug, "left": left, "at": stamp(at)}))
    });
    documents.collect()
}
