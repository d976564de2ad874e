//! How challenges were found: all are read at once, and written in one statement.
//!
//! As with conditions, no turn to write is needed: it is what one process found, not what is declared.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::DatabaseError;
use super::passes::{fitted, stamp};
use super::store::{Access, Call, Engine, MAX_ROWS, Store};
use crate::model::Slug;
use crate::model::health::{AllHealth, Health};

/// How challenges were found, as the database keeps it.
#[async_trait]
pub trait HealthRows: Send + Sync {
    /// Returns how every challenge was found that was asked.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can name; there is no partial answer.
    async fn health(&self) -> Result<AllHealth, DatabaseError>;

    /// Keeps how these challenges were found in place of what was kept before, and deletes those that are gone.
    ///
    /// # Errors
    /// The database did not answer; nothing was written.
    async fn write_health(
        &self,
        found: &AllHealth,
        gone: &BTreeSet<Slug>,
    ) -> Result<(), DatabaseError>;
}

/// The SQL about them.
pub(super) struct HealthStatements {
    /// No argument; gives `[slug, health]`, at most 10 001 times.
    pub(super) read: &'static str,
    /// A list of slugs.
    pub(super) clear: &'static str,
    /// A list of them with their slugs.
    pub(super) write: &'static str,
}

#[cfg(test)]
impl HealthStatements {
    pub(super) fn all(&self) -> [&'static str; 3] {
        let Self { read, clear, write } = self;
        [read, clear, write]
    }
}

pub(super) const SQLITE: HealthStatements = HealthStatements {
    read: "
        select json_array(slug, json_object('fitness', fitness, 'why', why, 'since', since,
            'asked_at', asked_at, 'holds_until', holds_until, 'version', version))
        from challenge_health order by slug limit 10001",
    clear: "
        delete from challenge_health where slug in (select value from json_each(?1))",
    write: "
        insert into challenge_health (slug, fitness, why, since, asked_at, holds_until, version)
        select e.value ->> 'slug', e.value ->> 'fitness', e.value ->> 'why', e.value ->> 'since',
            e.value ->> 'asked_at', e.value ->> 'holds_until', e.value ->> 'version'
        from json_each(?1) as e where true
        on conflict (slug) do update set
            fitness = excluded.fitness, why = excluded.why, since = excluded.since,
            asked_at = excluded.asked_at, holds_until = excluded.holds_until,
            version = excluded.version",
};

pub(super) const POSTGRES: HealthStatements = HealthStatements {
    read: r#"
        select json_build_array(slug, json_build_object('fitness', fitness, 'why', why,
            'since', to_char(since at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'asked_at', to_char(asked_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'holds_until', to_char(holds_until at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'version', version))::text
        from challenge_health order by slug limit 10001"#,
    clear: "
        delete from challenge_health
        where slug in (select jsonb_array_elements_text($1::text::jsonb))",
    write: "
        insert into challenge_health (slug, fitness, why, since, asked_at, holds_until, version)
        select d ->> 'slug', d ->> 'fitness', d ->> 'why', (d ->> 'since')::timestamptz,
            (d ->> 'asked_at')::timestamptz, (d ->> 'holds_until')::timestamptz, d ->> 'version'
        from jsonb_array_elements($1::text::jsonb) as d
        on conflict (slug) do update set
            fitness = excluded.fitness, why = excluded.why, since = excluded.since,
            asked_at = excluded.asked_at, holds_until = excluded.holds_until,
            version = excluded.version",
};

#[async_trait]
impl<E: Engine> HealthRows for Store<E> {
    async fn health(&self) -> Result<AllHealth, DatabaseError> {
        let sql = self.engine.statements().health.read;
        let doing = "reading how challenges were found";
        let texts = self.one(Access::Read, doing, sql, Vec::new()).await?;
        if texts.len() > MAX_ROWS {
            let what = format!("table challenge_health with over {MAX_ROWS} rows");
            return Err(self.unreadable(what));
        }
        let rows: Vec<(Slug, Health)> =
            self.parse_all("a row of table challenge_health", &texts)?;
        Ok(rows.into_iter().collect())
    }

    async fn write_health(
        &self,
        found: &AllHealth,
        gone: &BTreeSet<Slug>,
    ) -> Result<(), DatabaseError> {
        let all = &self.engine.statements().health;
        let mut calls = Vec::new();
        if !gone.is_empty() {
            calls.push(Call::new(all.clear, vec![json!(gone).to_string()]));
        }
        if !found.is_empty() {
            calls.push(Call::new(all.write, vec![documents(found).to_string()]));
        }
        if calls.is_empty() {
            return Ok(());
        }
        let doing = "keeping how challenges were found";
        self.run(Access::Write, doing, calls).await?;
        Ok(())
    }
}

fn documents(found: &AllHealth) -> Value {
    let document = |(slug, health): (&Slug, &Health)| {
        json!({
            "slug": slug, "fitness": health.fitness,
            "why": fitted(&health.why, 300),
            "since": stamp(health.since),
            "asked_at": stamp(health.asked_at),
            "holds_until": stamp(health.holds_until),
            "version": fitted(&health.version, 200),
        })
    };
    found.iter().map(document).collect()
}
