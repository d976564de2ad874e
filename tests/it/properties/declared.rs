//! Declarations made at random, and changed at random.

use std::collections::BTreeMap;

use crate::support::dice::Dice;
use crate::support::world::World;

/// What one field of a challenge may be; the first is most often.
type Choices = &'static [&'static str];

/// The fields of a challenge by name; each choice is lines of its block.
const FIELDS: [(&str, Choices); 17] = [
    (
        "status",
        &[
            "status: active",
            "status: inactive",
            "status: disabled",
            "status: draft",
        ],
    ),
    (
        "env",
        &[
            "",
            "env: {A: \"1\"}",
            "env: {A: \"2\", B: \"\"}",
            "env: {B: \"a b\", Z: \"${A}\"}",
        ],
    ),
    (
        "secrets",
        &[
            "",
            "secrets: {api_key: {secret: keys, key: a}}",
            "secrets: {api_key: {secret: keys, key: b}, other_key: {secret: others, key: a}}",
        ],
    ),
    (
        "worker",
        &[
            "",
            "worker: {command: [run]}",
            "worker: {command: [run, worker]}",
        ],
    ),
    (
        "resources",
        &[
            "",
            "resources: {cpu: 500m, memory: 1Gi}",
            "resources: {cpu: \"0.5\", memory: 1024Mi}",
            "resources: {cpu: 1, memory: 2Gi}",
        ],
    ),
    (
        "mode",
        &[
            "",
            "challenge_mode: deployment\nautoscaling: {enabled: false}",
            "challenge_mode: deployment\nstorage_access: ReadWriteMany",
            "challenge_mode: deployment\nstorage_access: ReadWriteMany\nautoscaling: {max_replicas: 2, target_cpu_utilization: 50}",
        ],
    ),
    (
        "database",
        &[
            "database: sqlite",
            "",
            "database: managed\npostgres: {resources: {requests: {cpu: 50m}}}",
            "database: managed\npostgres: {storage_size: 20Gi}",
            "database: external\ndatabase_secret: {secret: elsewhere, key: url}",
        ],
    ),
    (
        "storage",
        &["", "", "", "storage_size: 10240Mi", "storage_size: 20Gi"],
    ),
    ("version", &["", "version: 1.2.3", "version: 2.0.0"]),
    ("name", &["", "name: A Name", "name: \"Ünï 'quoted'\""]),
    (
        "description",
        &["", "description: What it is.", "description: \"#1: yes\""],
    ),
    (
        "metadata",
        &[
            "",
            "metadata: {tagline: t}",
            "metadata: {tagline: u, nested: {a: [1, 2.5, null]}}",
        ],
    ),
    (
        "port",
        &[
            "",
            "internal_base_url: http://challenge:8000",
            "internal_base_url: http://challenge:9000",
        ],
    ),
    (
        "capabilities",
        &["", "required_capabilities: [docker_executor]"],
    ),
    ("drift", &["", "drift: report"]),
    (
        "broker",
        &[
            "",
            "broker: {max_concurrent: 2}",
            "broker: {timeout_seconds: 60}\nvolumes: {sqlite: v}",
        ],
    ),
    (
        "proxy",
        &[
            "",
            "proxy: {deny: [/private]}",
            "updates: {policy: semver, range: \"^1\"}",
        ],
    ),
];

/// What stands beside the challenges; each choice is members of `defaults`, and lines at the end.
const BESIDE: [(&str, &str); 6] = [
    ("", ""),
    ("tolerations: [{key: pool, operator: Exists}], ", ""),
    ("image_pull_secrets: [pull], ", "network: {netuid: 7}\n"),
    ("", "broker: {url: \"http://broker:1\"}\n"),
    (
        "",
        "targets: {far: {mode: agent, agent_url: \"https://far:1\", token: {secret: far, key: t}, gpu_count: 2}}\n",
    ),
    (
        "",
        "targets: {far: {kubeconfig: {secret: far, key: k}, enabled: false, labels: {a: b}}}\n",
    ),
];

const SLUGS: [&str; 6] = [
    "one",
    "two",
    "three-3",
    "a-name-that-is-as-long-as-a-slug-may-be1",
    "xy",
    "six",
];
const EMISSIONS: [&str; 4] = ["10", "0", "12.5", "0.0001"];

/// One challenge: for each field the number of its choice.
#[derive(Clone, PartialEq)]
struct Challenge {
    choices: [usize; FIELDS.len()],
    emission: usize,
    image: usize,
}

impl Challenge {
    fn new(dice: &mut Dice) -> Self {
        // Most fields are left out, as people do.
        let choices = FIELDS.map(|(_, choices)| {
            if dice.chance(40) {
                dice.below(choices.len())
            } else {
                0
            }
        });
        Self {
            choices,
            emission: dice.below(EMISSIONS.len()),
            image: 0,
        }
    }

    fn change(&mut self, dice: &mut Dice) -> &'static str {
        match dice.below(FIELDS.len() + 2) {
            0 => {
                self.emission = dice.below(EMISSIONS.len());
                "emission"
            }
            1 => {
                self.image = dice.below(3);
                "image"
            }
            field => {
                let (name, choices) = FIELDS[field - 2];
                self.choices[field - 2] = dice.below(choices.len());
                name
            }
        }
    }

    fn choice(&self, field: &str) -> &'static str {
        let at = FIELDS.iter().position(|(name, _)| *name == field).unwrap();
        FIELDS[at].1[self.choices[at]]
    }

    /// The sizes of its volumes, which cannot be changed in place.
    fn sizes(&self) -> (bool, bool) {
        (
            self.choice("storage").contains("20Gi"),
            self.choice("database").contains("20Gi"),
        )
    }

    fn lines(&self) -> String {
        let lines = FIELDS
            .iter()
            .zip(self.choices)
            .map(|((_, choices), choice)| choices[choice]);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A declaration.
#[derive(Clone, PartialEq)]
pub struct Declared {
    challenges: BTreeMap<&'static str, Challenge>,
    beside: usize,
}

impl Declared {
    pub fn new(dice: &mut Dice) -> Self {
        let mut challenges = BTreeMap::new();
        for slug in SLUGS.iter().take(4) {
            if dice.chance(50) {
                challenges.insert(*slug, Challenge::new(dice));
            }
        }
        Self {
            challenges,
            beside: dice.below(BESIDE.len()),
        }
    }

    /// Returns another declaration, made by a few changes, and says which.
    pub fn changed(&self, dice: &mut Dice) -> (Self, Vec<String>) {
        let mut next = self.clone();
        let changes = (0..dice.below(5)).map(|_| next.change(dice)).collect();
        (next, changes)
    }

    fn change(&mut self, dice: &mut Dice) -> String {
        let there: Vec<&'static str> = self.challenges.keys().copied().collect();
        let free: Vec<&'static str> = SLUGS
            .into_iter()
            .filter(|slug| !there.contains(slug))
            .collect();
        match dice.below(12) {
            0 => {
                self.beside = dice.below(BESIDE.len());
                format!("beside {}", self.beside)
            }
            1 if !there.is_empty() => {
                let slug = *dice.pick(&there);
                self.challenges.remove(slug);
                format!("{slug} removed")
            }
            2 if !there.is_empty() && !free.is_empty() => {
                let (from, to) = (*dice.pick(&there), *dice.pick(&free));
                let moved = self.challenges.remove(from).unwrap();
                self.challenges.insert(to, moved);
                format!("{from} renamed to {to}")
            }
            3 | 4 if !free.is_empty() => {
                let slug = *dice.pick(&free);
                self.challenges.insert(slug, Challenge::new(dice));
                format!("{slug} added")
            }
            _ if !there.is_empty() => {
                let slug = *dice.pick(&there);
                let field = self.challenges.get_mut(slug).unwrap().change(dice);
                format!("{slug}: {field}")
            }
            _ => "nothing".to_owned(),
        }
    }

    /// Tells whether going from one to the other asks for a volume of another size, which is refused.
    pub fn resizes(&self, other: &Self) -> bool {
        let changes = |(slug, mine): (&&str, &Challenge)| {
            other
                .challenges
                .get(*slug)
                .is_some_and(|theirs| mine.sizes() != theirs.sizes())
        };
        self.challenges.iter().any(changes)
    }

    pub fn yaml(&self, world: &World) -> String {
        let lines: Vec<(&str, String)> = self
            .challenges
            .iter()
            .map(|(slug, challenge)| (*slug, challenge.lines()))
            .collect();
        let blocks: Vec<(&str, &str)> = lines
            .iter()
            .map(|(slug, lines)| (*slug, lines.as_str()))
            .collect();
        let mut yaml = world.yaml(&blocks);
        for (slug, challenge) in &self.challenges {
            let emission = EMISSIONS[challenge.emission];
            yaml = yaml.replace(
                &format!("\n  {slug}: 10\n"),
                &format!("\n  {slug}: {emission}\n"),
            );
            yaml = yaml.replace(
                &format!("{slug}:1.0.0@"),
                &format!("{slug}:1.0.{}@", challenge.image),
            );
        }
        let (defaults, lines) = BESIDE[self.beside];
        yaml.replace("defaults: {", &format!("defaults: {{{defaults}")) + lines
    }
}
