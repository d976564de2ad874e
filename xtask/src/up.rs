//! `cargo xtask up`: a local control plane with the example applied to it, and its challenges as local processes
//! whose scores become weights, to look at.

mod demonstration;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::demonstration::Demonstration;
use crate::{
    binary, command,
    control_plane::Shape,
    environment,
    interrupt::Interrupt,
    packages,
    terminal::{print, progress},
    world::{Postgresql, World},
};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file beside the copy of the example.
const DATABASE_URL: &str = "sqlite:platform.db";

/// Starts a control plane, applies the example to it, runs its challenges, and stays up until Ctrl-C.
///
/// Everything is in a scratch folder and goes with this command.
#[derive(Args)]
pub struct Arguments {
    /// Leaves after the last step.
    #[arg(long)]
    exit: bool,
}

/// A step of the tour: what it is for, arguments of `platform`, and the exit code it must have.
struct Step {
    about: &'static str,
    arguments: &'static [&'static str],
    expected: u8,
}

/// First everything is missing; once applied, nothing differs.
const TOUR: [Step; 5] = [
    Step {
        about: "Is the declaration right? Needs no cluster and no database.",
        arguments: &["check"],
        expected: 0,
    },
    Step {
        about: "What would it change? All of it is missing so far. Changes nothing.",
        arguments: &["diff"],
        expected: 1,
    },
    Step {
        about: "Make it so, and wait until every pod is ready. Without --yes it asks first.",
        arguments: &["apply", "--yes"],
        expected: 0,
    },
    Step {
        about: "And now? The cluster and the database are as declared.",
        arguments: &["diff"],
        expected: 0,
    },
    Step {
        about: "Where does each challenge stand?",
        arguments: &["status"],
        expected: 0,
    },
];

/// Goes through the steps, and waits for Ctrl-C unless told to leave.
///
/// # Errors
///
/// Fails when something cannot be built or started, and when a step ends with
/// another exit code than it should.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    packages::ensure_basics()?;
    progress("building platform…");
    let platform = binary::build(interrupt)?;
    progress("starting the control plane…");
    let shape = Shape {
        clusters: 1,
        nodes: 2,
        audit: None,
    };
    let world = World::start(&shape, Postgresql::Unwanted, interrupt)?;
    let place = Place::make(&world)?;
    for step in &TOUR {
        place.run_step(step, &platform, interrupt)?;
    }
    let demonstration = Demonstration::start(&place, &world, &platform, interrupt)?;
    print(place.render_directions(&platform, &demonstration.weights, &demonstration.challenges));
    while !arguments.exit && interrupt.check().is_ok() {
        thread::sleep(LOOK_EVERY);
    }
    Ok(0)
}

/// The folder in which `platform` runs, and the cluster it sees.
struct Place {
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Place {
    fn make(world: &World) -> Result<Self> {
        let folder = world.scratch.folder("up")?;
        let example = environment::repository().join("examples/platform.yaml");
        fs::copy(&example, folder.join("platform.yaml"))
            .with_context(|| format!("copy {}", example.display()))?;
        Ok(Self {
            folder,
            kubeconfig: world.control_plane.kubeconfig().to_owned(),
        })
    }

    fn run_step(&self, step: &Step, platform: &Path, interrupt: &Interrupt) -> Result<()> {
        let line = format!("platform {}", step.arguments.join(" "));
        print(format!("\n# {}\n$ {line}", step.about));
        let mut command = self.platform(platform);
        command.args(step.arguments);
        let code = command::run(&mut command, interrupt)?;
        interrupt.check()?;
        ensure!(
            code == step.expected,
            "{line} ended with exit code {code} instead of {}",
            step.expected
        );
        Ok(())
    }

    /// Returns a command that runs `platform` here.
    fn platform(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PLATFORM_DATABASE_URL", DATABASE_URL)
            .env_remove("PLATFORM_SOURCE")
            .current_dir(&self.folder);
        command
    }

    fn render_directions(
        &self,
        platform: &Path,
        weights: &str,
        challenges: &[(&str, String)],
    ) -> String {
        let challenges: Vec<String> = challenges
            .iter()
            .map(|(slug, address)| format!("  curl {address}/leaderboard    ({slug})"))
            .collect();
        format!(
            "
The control plane is up, with the example applied. Its challenges run on this machine, and `platform run` follows
the git repository below and asks them for their scores. In another terminal:

  curl {weights}
{challenges}

  cd {folder}
  export KUBECONFIG={kubeconfig}
  export PLATFORM_DATABASE_URL={database}
  export PATH={programs}:$PATH

and then, for example:

  platform set emissions.prism 35      (edits platform.yaml, comments kept)
  platform diff                        (what that means)
  git commit -am 'prism gets more'     (`platform run` makes it so within seconds)
  platform history                     (what was done so far)
  kubectl get pods --all-namespaces    (if you have kubectl)

Ctrl-C here ends it and leaves nothing behind.",
            challenges = challenges.join("\n"),
            folder = self.folder.display(),
            kubeconfig = self.kubeconfig.display(),
            database = DATABASE_URL,
            programs = platform.parent().unwrap_or(platform).display(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_can_be_pasted_into_a_shell() {
        let place = Place {
            folder: "/scratch/up".into(),
            kubeconfig: "/scratch/kubeconfig".into(),
        };
        let text = place.render_directions(
            Path::new("/target/debug/platform"),
            "http://127.0.0.1:1/v1/weights/latest",
            &[("prism", "http://127.0.0.1:2".to_owned())],
        );
        for line in [
            "  curl http://127.0.0.1:1/v1/weights/latest\n",
            "  curl http://127.0.0.1:2/leaderboard    (prism)\n",
            "  cd /scratch/up\n",
            "  export KUBECONFIG=/scratch/kubeconfig\n",
            "  export PLATFORM_DATABASE_URL=sqlite:platform.db\n",
            "  export PATH=/target/debug:$PATH\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
