//! Declarations that change at random.

use std::collections::BTreeMap;

use crate::support::dice::Dice;
use crate::support::world::World;

const SLUGS: [&str; 4] = ["one", "two", "three", "four"];

/// What is declared of one challenge.
#[derive(Clone)]
struct Want {
    env: BTreeMap<&'static str, usize>,
    port: usize,
    cpu: &'static str,
    memory: &'static str,
    version: usize,
    image: usize,
    has_worker: bool,
    uses_broker: bool,
    /// 0 StatefulSet, 1 Deployment, else a Deployment with that many pods at most.
    mode: usize,
    has_postgres: bool,
}

/// All challenges.
pub struct Wants(Vec<Want>);

impl Wants {
    pub fn new() -> Self {
        let want = |index: usize| Want {
            env: BTreeMap::from([("A", 1), ("B", 1)]),
            port: 8000,
            cpu: "500m",
            memory: "1Gi",
            version: 1,
            image: 1,
            has_worker: index == 1,
            uses_broker: false,
            mode: index,
            has_postgres: index == 0,
        };
        Self((0..SLUGS.len()).map(want).collect())
    }

    /// Changes one thing and says which.
    pub fn change(&mut self, dice: &mut Dice) -> String {
        let index = dice.below(self.0.len());
        let want = &mut self.0[index];
        let told = match dice.below(9) {
            0 | 1 => {
                let name = *dice.pick(&["A", "B", "C", "AA"]);
                if want.env.remove(name).is_none() || dice.chance(50) {
                    want.env.insert(name, dice.below(3));
                }
                format!("env {:?}", want.env)
            }
            2 => {
                want.port = *dice.pick(&[8000, 8001, 9000]);
                format!("port {}", want.port)
            }
            3 => {
                want.cpu = *dice.pick(&["500m", "0.5", "1", "1000m", "1.5"]);
                want.memory = *dice.pick(&["1Gi", "1024Mi", "512Mi"]);
                format!("resources {} {}", want.cpu, want.memory)
            }
            4 => {
                want.version = dice.below(4);
                format!("version {}", want.version)
            }
            5 => {
                want.image = dice.below(3);
                format!("image {}", want.image)
            }
            6 => {
                want.has_worker = !want.has_worker;
                format!("worker {}", want.has_worker)
            }
            7 => {
                want.uses_broker = !want.uses_broker;
                format!("broker {}", want.uses_broker)
            }
            _ => {
                want.mode = dice.below(5);
                format!("mode {}", want.mode)
            }
        };
        format!("{} wants {told}", SLUGS[index])
    }

    pub fn yaml(&self, world: &World) -> String {
        let extras: Vec<String> = self.0.iter().map(Want::extra).collect();
        let challenges: Vec<(&str, &str)> = SLUGS
            .into_iter()
            .zip(extras.iter().map(String::as_str))
            .collect();
        let mut yaml = world.yaml(&challenges);
        for (slug, want) in SLUGS.iter().zip(&self.0) {
            let from = format!("{slug}:1.0.0@");
            yaml = yaml.replace(&from, &format!("{slug}:1.0.{}@", want.image));
        }
        yaml
    }
}

impl Want {
    fn extra(&self) -> String {
        let env: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}: \"{value}\""))
            .collect();
        let mut lines = vec![
            format!("env: {{{}}}", env.join(", ")),
            format!(
                "resources: {{cpu: \"{}\", memory: {}}}",
                self.cpu, self.memory
            ),
            format!("version: 1.{}.0", self.version),
            format!("internal_base_url: http://challenge:{}", self.port),
            "storage_access: ReadWriteMany".to_owned(),
        ];
        if !self.has_postgres {
            lines.push("database: sqlite".to_owned());
        }
        if self.has_worker {
            lines.push("worker: {command: [run, worker]}".to_owned());
        }
        if self.uses_broker {
            lines.push("required_capabilities: [docker_executor]".to_owned());
        }
        match self.mode {
            0 => {}
            1 => lines.extend([
                "challenge_mode: deployment".to_owned(),
                "autoscaling: {enabled: false}".to_owned(),
            ]),
            most => lines.extend([
                "challenge_mode: deployment".to_owned(),
                format!("autoscaling: {{max_replicas: {most}}}"),
            ]),
        }
        lines.join("\n")
    }
}
